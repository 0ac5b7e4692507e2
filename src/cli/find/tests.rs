//! Tests of the command line and of what is said.
