//! The controller of generic netlink: it tells a client by which number the family "IPVS" goes.

use rustix::io::Errno;

use crate::attribute::{Attributes, Made};
use crate::ipvs::NAME;

/// The controller's own number.
pub(crate) const CONTROLLER: u16 = 0x10;
/// The family's number. Fixed: clients ask once and keep it, while directors come and go.
pub const FAMILY_ID: u16 = 0x2f;

const GETFAMILY: u8 = 3;
pub(crate) const NEWFAMILY: u8 = 1;

const ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FAMILY_VERSION: u16 = 3;
const HEADER_SIZE: u16 = 4;
const ATTRIBUTES_MAX: u16 = 5;

/// Longest name of a family.
const NAME_BYTES_MAX: usize = 15;

/// Answers a request to the controller.
pub(crate) fn answer(command: u8, asked: Attributes) -> Result<Made, Errno> {
    if command != GETFAMILY {
        return Err(Errno::OPNOTSUPP);
    }
    let by_name = asked.get(FAMILY_NAME).is_some();
    let known = match by_name {
        true => asked.text(FAMILY_NAME, NAME_BYTES_MAX)? == NAME,
        false => asked.u16(ID)? == FAMILY_ID,
    };
    if !known {
        return Err(Errno::NOENT);
    }
    let family = Made::default().text(FAMILY_NAME, NAME).u16(ID, FAMILY_ID).u32(FAMILY_VERSION, 1);
    Ok(family.u32(HEADER_SIZE, 0).u32(ATTRIBUTES_MAX, u32::from(crate::request::ATTRIBUTES_MAX)))
}

/// What a client sends to be told the number.
#[cfg(test)]
pub(crate) fn ask(name: &str, sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    crate::message::put_request(CONTROLLER, sequence, GETFAMILY, &Made::default().text(FAMILY_NAME, name), &mut out);
    out
}
