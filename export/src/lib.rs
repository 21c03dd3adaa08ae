//! From records to sealed bundles
