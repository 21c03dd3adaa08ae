//! From staged items to records, in a sandbox
