//! Whatever the text is, it is parsed or refused with faults that lie inside it; nothing panics.

use proptest::prelude::*;

const FILES: [&str; 4] = [
    include_str!("../../examples/net-tap.toml"),
    include_str!("../../examples/nat.toml"),
    include_str!("../../examples/tun.toml"),
    include_str!("../../examples/one-armed.toml"),
];

/// Words that lead a reader astray where they stand in for a value.
const WORDS: [&str; 20] = [
    "-1",
    "0",
    "1.5",
    "nan",
    "true",
    "[]",
    "[[]]",
    "{}",
    "\"\"",
    "\"::\"",
    "\"0/0\"",
    "\"::/0\"",
    "\"\\u0000\"",
    "\"é\"",
    "1979-05-27",
    "99999999999999999999999999999999999999999",
    "0xff",
    "\"18446744073709551615d\"",
    "\"[::]:0\"",
    "\"-\"",
];

fn check(text: &str) {
    let Err(errors) = config::parse(text, "uvs.toml") else { return };
    assert!(!errors.faults.is_empty() && errors.faults.len() <= config::limits::FAULTS_MAX);
    for fault in &errors.faults {
        assert!(fault.line <= text.lines().count() + 1 && !fault.message.is_empty(), "{errors}");
    }
    assert!(!errors.to_string().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_words_in_the_form_of_a_file(lines in prop::collection::vec("(\\[\\[?(port|service|service.real_server|fullnat)\\]\\]?|[a-z_]{1,9} = [\"0-9a-f:./]{0,12})", 0..20)) {
        check(&lines.join("\n"));
    }

    #[test]
    fn a_right_file_with_a_value_replaced(file in 0..FILES.len(), line in any::<prop::sample::Index>(), word in 0..WORDS.len()) {
        let mut lines: Vec<String> = FILES[file].lines().map(str::to_string).collect();
        let keyed: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains(" = ")).collect();
        let at = keyed[line.index(keyed.len())];
        let (key, _) = lines[at].split_once(" = ").expect("a key");
        lines[at] = format!("{key} = {}", WORDS[word]);
        check(&lines.join("\n"));
    }

    #[test]
    fn a_right_file_with_lines_moved(file in 0..FILES.len(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut lines: Vec<&str> = FILES[file].lines().collect();
        let line = lines.remove(from.index(lines.len()));
        lines.insert(to.index(lines.len()), line);
        check(&lines.join("\n"));
    }

    #[test]
    fn a_right_file_with_bytes_changed(file in 0..FILES.len(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = FILES[file].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn deep_nesting_is_refused() {
    check(&format!("a = {}", "[".repeat(100_000)));
    check(&format!("a{} = 1", ".a".repeat(100_000)));
    check(&format!("a = {}", "{a=".repeat(100_000)));
}
