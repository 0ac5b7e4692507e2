//! The same mail as pages in a browser, for those who have no file share.
