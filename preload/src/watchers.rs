//! The epoll sets that watch a descriptor. A set watches the open file, not its number: it would not see what takes the file's place, and
//! a program that waits in `epoll_wait` for the answer (Python's asyncio, say) would wait for ever. So the sets are looked up before,
//! and told of the new file afterwards. poll and select go by the number and need nothing.
//!
//! Who watches what the kernel tells in `/proc/self/fdinfo`; without procfs nobody is told.
//!
//! ```text
//! tfd:        7 events:       19 data:     7fcb00000007  pos:0 ino:1c2f4 sdev:8
//! ```

use core::ffi::{CStr, c_int};

use crate::system::{self, Owned};

/// Sets that are told; a program has one.
const SETS_MAX: usize = 4;
/// Folders and files are read in such pieces. An entry has some thirty bytes, a line some eighty.
const PIECE_BYTES: usize = 1_024;
/// What the link of a set's descriptor says.
const SET: &[u8] = b"anon_inode:[eventpoll]";

/// What a set was told of a descriptor.
struct Watcher {
    set: c_int,
    events: u32,
    data: u64,
}

/// The sets that watch one descriptor.
pub struct Watchers([Option<Watcher>; SETS_MAX]);

impl Watchers {
    /// Those of a socket.
    pub fn of(number: c_int) -> Watchers {
        let mut watchers = Watchers([const { None }; SETS_MAX]);
        let (socket, inode) = (u64::try_from(number).ok(), system::inode(number));
        let Some((folder, told)) = system::open(c"/proc/self/fd").zip(system::open(c"/proc/self/fdinfo")) else {
            return watchers;
        };
        let mut free = watchers.0.iter_mut();
        each_set(&folder, |set, name| {
            let found = each_line(&told, name, |line| {
                let is_it = field(line, b"tfd:", 10) == socket && field(line, b"ino:", 16) == Some(inode);
                let (events, data) = field(line, b"events:", 16).zip(field(line, b"data:", 16))?;
                is_it.then_some(Watcher { set, events: events as u32, data })
            });
            if found.is_some()
                && let Some(place) = free.next()
            {
                *place = found;
            }
        });
        watchers
    }

    /// Has them watch what the number stands for now.
    pub fn watch(&self, number: c_int) {
        for Watcher { set, events, data } in self.0.iter().flatten() {
            system::watch(*set, number, *events, *data);
        }
    }
}

/// Each epoll set of this process, as a number and as a name in these folders. An entry of a folder is
///
/// ```text
/// inode 8 bytes · offset 8 · the entry's length 2 · kind 1 · name, to a zero
/// ```
fn each_set(folder: &Owned, mut tell: impl FnMut(c_int, &CStr)) {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut room = [0; PIECE_BYTES];
    loop {
        let mut entries = system::entries(folder, &mut room);
        if entries.is_empty() {
            return;
        }
        while let Some(&[low, high]) = entries.get(LENGTH..LENGTH + 2)
            && let Some(Ok(name)) = entries.get(NAME..).map(CStr::from_bytes_until_nul)
        {
            // Neither . nor ..
            if let Some(number) = number(name.to_bytes(), 10)
                && system::link_is(folder, name, SET)
            {
                tell(number as c_int, name);
            }
            let length = usize::from(u16::from_ne_bytes([low, high]));
            entries = entries.get(length.max(NAME)..).unwrap_or(&[]);
        }
    }
}

/// What `look` finds in the first line of a file that has it.
fn each_line<T>(folder: &Owned, name: &CStr, look: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let file = system::open_in(folder, name)?;
    let mut room = [0; PIECE_BYTES];
    let mut kept = 0;
    loop {
        let read = system::read(&file, room.get_mut(kept..)?);
        let piece = room.get(..kept + read)?;
        // The last line goes on in the next piece.
        let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let found = piece.get(..whole)?.split(|byte| *byte == b'\n').find_map(&look);
        if found.is_some() || read == 0 {
            return found;
        }
        let rest = whole..kept + read;
        kept = rest.len();
        room.copy_within(rest, 0);
    }
}

/// The number behind a name in a line.
fn field(line: &[u8], name: &[u8], base: u32) -> Option<u64> {
    let at = line.windows(name.len()).position(|part| part == name)?;
    let after = line.get(at + name.len()..)?.trim_ascii_start();
    let end = after.iter().position(u8::is_ascii_whitespace).unwrap_or(after.len());
    number(after.get(..end)?, base)
}

fn number(digits: &[u8], base: u32) -> Option<u64> {
    let digit = |sum: u64, digit: &u8| {
        let digit = char::from(*digit).to_digit(base)?;
        sum.checked_mul(base.into())?.checked_add(digit.into())
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, digit) }
}
