//! What tools made, kept for the next start: keepalived does not say again what it told a director that has died.
//!
//! The file holds the requests that make it, as the tools would send them, one behind the other. Each change is appended before the tool
//! is told that it was done, in one write: a director that is killed has kept whatever it acknowledged, and half a request at the end
//! is not read. A file much longer than what it makes is written anew, beside the old one, and put in its place.

use super::words;
use crate::director::Control;
use crate::services::ServiceKey;
use ipvs_netlink::{Edit, Ipvs, ServiceId, Timeouts, requests};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const NAME: &str = "ipvs.saved";
const NEW_NAME: &str = ".ipvs.saved.new";
/// The longest file that is read: a million real servers.
const BYTES_MAX: u64 = 256 << 20;
/// So much may be appended to a file, and as much as it had, until it is written anew.
const APPENDED_BYTES: u64 = 1 << 20;

/// The file of what tools made.
pub(super) struct Saved {
    run_dir: PathBuf,
    /// None: it cannot be written now.
    file: Option<File>,
    /// Its length, and what it was when the file was written anew.
    bytes: u64,
    whole_bytes: u64,
    is_failing: bool,
}

impl Saved {
    fn new(run_dir: &Path) -> Saved {
        Saved { run_dir: run_dir.to_owned(), file: None, bytes: 0, whole_bytes: 0, is_failing: false }
    }

    fn append(&mut self, request: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(request) {
            self.fail(error);
        }
        self.bytes += request.len() as u64;
    }

    fn is_long(&self) -> bool {
        self.file.is_none() || self.bytes > 2 * self.whole_bytes + APPENDED_BYTES
    }

    fn replace(&mut self, requests: &[u8]) {
        match replace(&self.run_dir, requests) {
            Ok(file) => {
                self.file = Some(file);
                self.is_failing = false;
                (self.bytes, self.whole_bytes) = (requests.len() as u64, requests.len() as u64);
            }
            Err(error) => self.fail(error),
        }
    }

    /// Said once, and tried again with the next change.
    fn fail(&mut self, error: io::Error) {
        self.file = None;
        if !std::mem::replace(&mut self.is_failing, true) {
            let path = self.run_dir.join(NAME);
            log::error!("{}: what tools made is not kept for the next start: {error}", path.display());
        }
    }
}

fn replace(run_dir: &Path, requests: &[u8]) -> io::Result<File> {
    let new = run_dir.join(NEW_NAME);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(requests)?;
    fs::rename(&new, run_dir.join(NAME))?;
    Ok(file)
}

fn read(run_dir: &Path) -> io::Result<Vec<u8>> {
    let path = run_dir.join(NAME);
    match fs::metadata(&path) {
        Ok(file) if file.len() > BYTES_MAX => Err(io::Error::other(format!("longer than {BYTES_MAX} bytes"))),
        Ok(_) => fs::read(&path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Control {
    /// Makes again what tools had made, but what the file now names, and keeps what they will make. Gives how many services that were.
    pub fn restore(&mut self, run_dir: &Path) -> usize {
        let bytes = read(run_dir).unwrap_or_else(|error| {
            log::error!("{}: what tools had made is lost: {error}", run_dir.join(NAME).display());
            Vec::new()
        });
        for edit in requests(&bytes) {
            if !self.is_kept(&edit) {
                continue;
            }
            if let Err(error) = self.do_edit(&edit) {
                log::warn!("what a tool had made cannot be made again: {edit:?}: {error}");
            }
        }
        let config = self.config.clone();
        self.read_file_for_tools(&config);
        self.change_policy();
        self.tools.saved = Some(Saved::new(run_dir));
        self.save_all();
        self.publish();
        self.tools_services().count()
    }

    /// A tool's edit has been done.
    pub(super) fn save(&mut self, edit: &Edit) {
        let is_kept = self.is_kept(edit);
        let Some(saved) = &mut self.tools.saved else { return };
        if is_kept {
            let mut request = Vec::new();
            edit.put_request(0, &mut request);
            saved.append(&request);
        }
        if is_kept && saved.is_long() || *edit == Edit::Flush {
            self.save_all();
        }
    }

    /// Writes the file anew.
    pub(in crate::director) fn save_all(&mut self) {
        if self.tools.saved.is_none() {
            return;
        }
        let mut requests = Vec::new();
        for id in self.tools_services() {
            let Some(service) = self.service(&id) else { continue };
            Edit::AddService(id, service.told).put_request(0, &mut requests);
            // The newest is listed first.
            for server in self.real_servers(&id).iter().rev() {
                Edit::AddServer(id, server.address, server.told).put_request(0, &mut requests);
            }
        }
        if self.tools.timeouts != Timeouts::default() {
            Edit::SetTimeouts(self.tools.timeouts).put_request(0, &mut requests);
        }
        if let Some(saved) = &mut self.tools.saved {
            saved.replace(&requests);
        }
    }

    /// The services that no file names.
    fn tools_services(&self) -> impl Iterator<Item = ServiceId> + '_ {
        let keys = self.book.list().map(|(service, _)| service.key);
        keys.filter(|key| !self.tools.of_file.contains(key)).map(words::id)
    }

    /// Does an edit outlive the director? What is done to the file's services does not.
    fn is_kept(&self, edit: &Edit) -> bool {
        let is_tools = |key: ServiceKey| !self.tools.of_file.contains(&key);
        match edit {
            Edit::AddService(id, _)
            | Edit::EditService(id, _)
            | Edit::DeleteService(id)
            | Edit::AddServer(id, _, _)
            | Edit::EditServer(id, _, _)
            | Edit::DeleteServer(id, _) => words::key(id).is_some_and(is_tools),
            Edit::SetTimeouts(_) => true,
            Edit::Zero(_) | Edit::Flush | Edit::StartDaemon(_) | Edit::StopDaemon(_) => false,
        }
    }
}
