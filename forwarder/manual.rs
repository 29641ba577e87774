//! `uvs manual`: writes the manual pages and the shells' completions, from the command line itself, for `make install`.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap_complete::Shell;

/// Arguments of `uvs manual`.
#[derive(Clone, Debug, clap::Args)]
pub struct ManualArgs {
    /// Folder to write `man1/` and `completions/` into
    pub folder: PathBuf,
}

/// Writes a page for the program and for each of its commands, and a file for each shell.
pub fn write(args: &ManualArgs, mut command: clap::Command) -> io::Result<()> {
    let [pages, completions] = ["man1", "completions"].map(|name| args.folder.join(name));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    // Before the completions: they make a command of every `help COMMAND`.
    clap_mangen::generate_to(command.clone(), &pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "uvs", &completions)?;
    }
    Ok(())
}
