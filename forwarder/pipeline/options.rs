//! The one IPv4 option that matters to a director: whoever says by which routers a packet is to go, the packet goes nowhere, be it a
//! conn's, the host's or only routed. All others are carried as they are.

/// Whether the sender names routers to pass: an IPv4 option that nobody honest uses (RFC 7126, section 4.3). An IPv6 routing
/// header is no router's business but of the one that it is addressed to (RFC 8200, section 4).
#[cold]
pub(super) fn is_source_routed(mut options: &[u8]) -> bool {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    while let [kind, rest @ ..] = options {
        options = match (*kind, rest) {
            (END, _) => return false,
            (NOTHING, _) => rest,
            (LOOSE | STRICT, _) => return true,
            (_, [length, ..]) if *length >= 2 => options.get(usize::from(*length)..).unwrap_or_default(),
            _ => return false,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_routes_are_found_among_other_options() {
        let rows: [(&str, &[u8], bool); 8] = [
            ("none", &[], false),
            ("loose", &[131, 7, 4, 10, 0, 0, 1, 0], true),
            ("strict, behind another", &[1, 7, 3, 4, 137, 3, 4, 0], true),
            ("record route", &[7, 7, 4, 0, 0, 0, 0, 0], false),
            ("behind the end", &[0, 131, 3, 4], false),
            ("an option of length 0", &[7, 0, 131, 3], false),
            ("an option that is cut off", &[1, 1, 1, 7], false),
            ("an option beyond the header", &[7, 40, 131, 3], false),
        ];
        for (what, options, expected) in rows {
            assert_eq!(is_source_routed(options), expected, "{what}");
        }
    }
}
