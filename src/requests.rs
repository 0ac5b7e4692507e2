//! Requests: what people asked to be put back, until an administrator has decided and they know the outcome.
