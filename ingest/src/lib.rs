//! From an exhibit to hashed, scanned and staged items
