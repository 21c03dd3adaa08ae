//! Stores of settings and values that no definition reads: MMKV, Realm, SharedPreferences, property lists. Every value goes through the
//! sweep: wallet-shaped ones become accounts and secrets, with the way to the value as locator, and observables in it are sighted, in
//! texts inside of base64 too.

pub mod clone;
mod firefox;
pub mod mmkv;
pub mod plist;
pub mod preferences;
pub mod realm;
mod sweep;

pub use firefox::read_database;
pub use mmkv::Mmkv;
pub use plist::PropertyList;
pub use preferences::Preferences;
pub use realm::Realm;
pub use sweep::{Place, Sweep};
