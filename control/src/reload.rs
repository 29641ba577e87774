//! `uvs reload`: has a running director read its configuration file again and prints what changed, or why nothing did.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Client, ClientError};

/// A file of the greatest size takes a director seconds to read.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Arguments of `uvs reload`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReloadArgs {
    /// Directory of the running director's sockets
    #[arg(long, value_name = "DIR", default_value = "/run/uvs")]
    pub run_dir: PathBuf,
}

/// Why nothing was reloaded.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The director did not answer.
    #[error(transparent)]
    Director(#[from] ClientError),
    /// The file is wrong, or says what cannot change while a director runs.
    #[error("nothing was changed:\nuvs: {}", .0.join("\nuvs: "))]
    Refused(Vec<String>),
    /// The output does not take it.
    #[error("output: {0}")]
    Output(#[from] io::Error),
}

/// Has the director reload and prints what changed.
pub fn reload(args: &ReloadArgs, out: &mut impl Write) -> Result<(), ReloadError> {
    let reloaded = Client::connect(&args.run_dir)?.with_time_limit(SILENCE_MAX)?.reload()?;
    if !reloaded.applied {
        return Err(ReloadError::Refused(reloaded.lines));
    }
    reloaded.lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(())
}
