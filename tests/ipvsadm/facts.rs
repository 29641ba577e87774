//! What the kernel and ipvsadm did, command by command, as it was recorded; and what is named as different here.

use crate::director::Ended;
use serde::Deserialize;
use std::path::PathBuf;

/// One command of a recording.
#[derive(Debug, Deserialize)]
pub struct Fact {
    pub cmd: String,
    #[serde(default)]
    pub stdin: Option<String>,
    #[serde(default)]
    pub uid: Option<u32>,
    rc: i32,
    stdout: String,
    stderr: String,
}

/// The commands of a recording, in their order.
pub fn facts(name: &str) -> Vec<Fact> {
    let folder = std::env::var_os("GOLDEN_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")), PathBuf::from);
    let path = folder.join("facts").join(name).with_extension("jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Is this not compared? With the reason.
pub fn is_left_out(fact: &Fact) -> Option<&'static str> {
    let rows = [
        ("ip_vs_app", "the kernel's FTP helper is not here"),
        ("-s twos", "Debian's kernel is built without the scheduler, which is here"),
        ("--pe sip", "persistence engines are refused"),
        ("ipvsadm-save", "a script of the package, which the recorder did not have"),
    ];
    let daemon_ran = fact.cmd.contains("-daemon") && (fact.rc == 0 || fact.stderr.contains("already run"));
    let starts = fact.cmd.contains("-daemon ");
    let listed = fact.cmd.ends_with("--daemon") && !fact.stdout.is_empty();
    rows.iter()
        .find(|(part, _)| fact.cmd.contains(part))
        .map(|(_, why)| *why)
        .or_else(|| (starts && daemon_ran || listed).then_some("daemons are refused"))
}

/// What the tool should have said, as far as it is compared.
pub fn expected(fact: &Fact) -> Ended {
    comparable(fact, Ended { status: fact.rc, stdout: fact.stdout.clone(), stderr: fact.stderr.clone() })
}

/// An outcome without what is never twice alike (seconds left, the order of conns and of services in the kernel's tables), and
/// without what is named as different.
pub fn comparable(fact: &Fact, mut ended: Ended) -> Ended {
    let is_conns = fact.cmd.contains("ip_vs_conn") || fact.cmd.starts_with("ipvsadm -L") && fact.cmd.contains('c');
    let mut blocks: Vec<String> = Vec::new();
    for line in ended.stdout.lines().filter(|line| !line.contains(" NONE ") && !line.contains("10.99.0.1:83 ")) {
        let line = without_engine(line);
        let line = if fact.cmd.contains("--rate") { without_rates(&line) } else { line };
        let line = if is_conns { without_seconds(&line) } else { line };
        // A server belongs to the service before it.
        match blocks.last_mut().filter(|_| line.starts_with("  -> ") && !line.contains("RemoteAddress")) {
            Some(block) => *block += &format!("{line}\n"),
            None => blocks.push(format!("{line}\n")),
        }
    }
    if is_conns || fact.cmd.contains("--nosort") || fact.cmd == "cat /proc/net/ip_vs" {
        let head = blocks.iter().position(|block| block.starts_with("TCP") || block.starts_with("UDP"));
        blocks[head.unwrap_or_default()..].sort();
    }
    if fact.cmd.contains("ip_vs_stats") {
        blocks.pop();
        blocks.push("rates\n".into());
    }
    ended.stdout = blocks.concat();
    // Who is refused looks for the kernel's module, which this machine may not have.
    let said = ended.stderr.lines().filter(|line| !line.starts_with("modprobe: "));
    ended.stderr = said.map(|line| format!("{line}\n")).collect();
    ended
}

/// The service with the engine is made without it; the kernel kept a template for it in spite of one-packet scheduling.
fn without_engine(line: &str) -> String {
    let line = line.replace(" --pe sip", "").replace(" pe sip", "");
    match line.contains("172.16.0.2:5060 ") || line.contains("172.16.0.2:sip ") {
        true => line.replace("1         1           0", "1         0           0"),
        false => line,
    }
}

/// Rates hang on when they are asked for: what they are of stays.
fn without_rates(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let is_counted = words.last().is_some_and(|word| word.parse::<u64>().is_ok());
    if is_counted { words[..words.len() - 5].join(" ") } else { line.to_string() }
}

/// Minutes and seconds of ipvsadm's list, the last number of the kernel's.
fn without_seconds(line: &str) -> String {
    let word = |word: &str| match word.split_once(':') {
        Some((minutes, seconds)) if minutes.len() == 2 && seconds.len() == 2 => "MM:SS".to_string(),
        _ => word.to_string(),
    };
    let mut words: Vec<_> = line.split(' ').map(word).collect();
    match words.last_mut() {
        Some(last) if !last.is_empty() && last.chars().all(|digit| digit.is_ascii_digit()) => *last = "SECONDS".into(),
        _ => {}
    }
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
