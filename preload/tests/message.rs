//! Netlink messages, put together and taken apart: as much as these tests speak.

pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;
pub const CONTROLLER: u16 = 0x10;
/// What the director calls its family.
pub const FAMILY: u16 = 0x2f;

pub const REQUEST: u16 = 1;
pub const MULTI: u16 = 2;
pub const ACK: u16 = 4;
pub const DUMP: u16 = 0x300;

/// A message of one datagram.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub port: u32,
    pub body: Vec<u8>,
}

impl Message {
    /// A generic-netlink request that wants an acknowledgement.
    pub fn request(kind: u16, sequence: u32, command: u8, attributes: &[u8]) -> Message {
        Message { kind, flags: REQUEST | ACK, sequence, port: 0, body: genl(command, attributes) }
    }

    /// Asks for a family's number.
    pub fn family(name: &str, sequence: u32) -> Message {
        Message::request(CONTROLLER, sequence, 3, &attribute(2, &[name.as_bytes(), b"\0"].concat()))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = ((16 + self.body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        bytes.extend(self.port.to_ne_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// The first of a datagram.
    pub fn of(bytes: &[u8]) -> Message {
        Message {
            kind: u16_at(bytes, 4),
            flags: u16_at(bytes, 6),
            sequence: u32_at(bytes, 8),
            port: u32_at(bytes, 12),
            body: bytes[16..u32_at(bytes, 0) as usize].to_vec(),
        }
    }

    pub fn command(&self) -> u8 {
        self.body[0]
    }

    /// What an error says: errno, 0 for an acknowledgement.
    pub fn error(&self) -> Option<i32> {
        (self.kind == ERROR).then(|| -(u32_at(&self.body, 0) as i32))
    }
}

pub fn genl(command: u8, attributes: &[u8]) -> Vec<u8> {
    [&[command, 1, 0, 0], attributes].concat()
}

pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Kind and value of each.
pub fn attributes(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::from(u16_at(bytes, 0));
        found.push((u16_at(bytes, 2) & 0x3fff, bytes[4..length].to_vec()));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    found
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}
