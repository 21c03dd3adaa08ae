//! `haul`: from seized devices to sealed evidence bundles.

use clap::Parser;
use haul::{EXIT_STOPPED, EXIT_USAGE, cli::Cli, dispatch, resumable};
use model::text::escape;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Parser processes are this same program: nothing may happen before they lock themselves in.
    normalize::sandbox::child::enter_if_asked();
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    stop_on_signal();
    haul::custody::by(cli.by);
    match dispatch(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("haul: {}", escape(&format!("{error:#}")));
            if resumable(&error) {
                eprintln!("haul: stopped; type the same command again to go on");
                return ExitCode::from(EXIT_STOPPED);
            }
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Ctrl-C and SIGTERM: nothing needs tidying, because every stage is safe to kill; only the exit code says it can go on.
fn stop_on_signal() {
    let stop = || {
        eprintln!("haul: stopped; type the same command again to go on");
        std::process::exit(i32::from(EXIT_STOPPED));
    };
    if let Err(error) = ctrlc::set_handler(stop) {
        tracing::warn!("no signal handler: {error}");
    }
}
