//! What the workers of a fleet share: how they are told to stop, what they log, and their exit codes.

use crate::Error;
use crate::kafka::Publisher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// How long a worker may take to end in good order.
pub const GRACE: Duration = Duration::from_secs(20);

/// Exit code for usage and configuration errors.
pub const EXIT_USAGE: u8 = 2;
/// Exit code for a bug.
pub const EXIT_BUG: u8 = 70;
/// Exit code of a worker that stopped and can be started again to go on.
pub const EXIT_STOPPED: u8 = 75;

/// Sends the log to stderr: `RUST_LOG` filters it, `info` unless set. It carries ids and counts, never evidence.
pub fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
}

/// Stops a worker in good order. The flag is set by the first SIGTERM, SIGINT or SIGHUP: a receiver with that flag says
/// [`crate::Event::Closed`], what was delivered is finished, flushed and acknowledged. After [`GRACE`], or at the second signal,
/// calls of `publisher` that wait for a broker return [`Error::Closed`]. The third ends the process where it stands, which
/// loses nothing either: it is all delivered again. A process can do this once.
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

/// Ends a worker that has nothing to finish at the first signal, with [`EXIT_STOPPED`]. A process can do this once.
pub fn exit_on_signal() -> Result<(), Error> {
    let exit = || std::process::exit(i32::from(EXIT_STOPPED));
    ctrlc::set_handler(exit).map_err(|error| Error::Signals(error.to_string()))
}

/// Whether starting a worker again can help after this error.
pub fn is_resumable(error: &Error) -> bool {
    !matches!(error, Error::Settings(_))
}
