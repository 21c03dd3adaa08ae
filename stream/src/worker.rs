//! How a worker of a fleet is told to stop.
//!
//! The first SIGTERM, SIGINT or SIGHUP asks it to end in good order: its receiver says [`crate::Event::Closed`], what was
//! delivered is finished, flushed and acknowledged. After [`GRACE`], or at the second signal, calls that wait for a broker return
//! [`Error::Closed`]. The third ends the process where it stands, which loses nothing either: it is all delivered again.

use crate::Error;
use crate::kafka::Publisher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// How long a worker may take to end in good order.
pub const GRACE: Duration = Duration::from_secs(20);

/// Exit code of a worker that stopped and can be started again to go on.
pub const EXIT_STOPPED: u8 = 75;

/// Catches the signals that stop a worker; the flag is set by the first. A process can do this once.
pub fn stop_on_signal(publisher: Option<Arc<Publisher>>) -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let signals = AtomicU32::new(0);
    let handler = move || {
        flag.store(true, Ordering::Release);
        let close = |publisher: &Option<Arc<Publisher>>| publisher.iter().for_each(|publisher| publisher.close());
        match signals.fetch_add(1, Ordering::AcqRel) {
            0 => {
                tracing::info!("stopping");
                let publisher = publisher.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(GRACE);
                    close(&publisher);
                });
            }
            1 => close(&publisher),
            _ => std::process::exit(i32::from(EXIT_STOPPED)),
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Signals(error.to_string()))?;
    Ok(stop)
}
