//! What the kernel and ipvsadm did, command by command, as it was recorded; and what is named as different here.

use crate::director::Ended;
use serde::Deserialize;
use std::net::SocketAddr;
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

/// Packets in and out of each service and real server, from the recording's first listing of exact counters.
pub fn counted(facts: &[Fact]) -> Vec<(SocketAddr, [usize; 2])> {
    let exact = facts.iter().find(|fact| fact.cmd == "ipvsadm -Ln --stats --exact").expect("it was recorded");
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, endpoint, _, inbound, outbound, _, _] = words[..] else { return None };
        Some((endpoint.parse().ok()?, [inbound.parse().ok()?, outbound.parse().ok()?]))
    };
    exact.stdout.lines().filter_map(row).collect()
}

/// Is this not compared? With the reason.
pub fn is_left_out(fact: &Fact) -> Option<&'static str> {
    let rows = [
        ("ip_vs_app", "the kernel's FTP helper is not here"),
        ("-s twos", "Debian's kernel is built without the scheduler, which is here"),
    ];
    // What the recorder did not have says nothing of the kernel.
    let missing = fact.stderr.contains("ipvsadm-save: not found").then_some("a script that the recorder did not have");
    rows.iter().find(|(part, _)| fact.cmd.contains(part)).map(|(_, why)| *why).or(missing)
}

/// What the tool should have said, as far as it is compared: what it said of the kernel, or of what is named as different.
pub fn expected(fact: &Fact) -> Ended {
    let ended = Ended { status: fact.rc, stdout: fact.stdout.clone(), stderr: fact.stderr.clone() };
    comparable(fact, refusal(fact).unwrap_or(ended))
}

/// What is refused here and is done by the kernel: persistence engines and the sync daemons. None ever runs.
fn refusal(fact: &Fact) -> Option<Ended> {
    let is_done = |instead: &str| fact.rc == 0 || fact.stderr.contains(instead);
    let rows = [
        (
            fact.cmd.contains("--pe sip") && is_done("Service already exists"),
            "Scheduler or persistence engine not found\n",
        ),
        (fact.cmd.contains("--start-daemon ") && is_done("Daemon has already run"), "Protocol not available\n"),
        (fact.cmd.contains("--stop-daemon ") && fact.rc == 0, "No daemon is running\n"),
    ];
    let lists = fact.cmd.starts_with("ipvsadm -L") && fact.cmd.ends_with("--daemon") && fact.rc == 0;
    let refused = |(_, why): &(bool, &str)| Ended { status: 255, stdout: String::new(), stderr: (*why).into() };
    rows.iter().find(|(is_it, _)| *is_it).map(refused).or_else(|| lists.then(Ended::default))
}

/// How the lines above a listing begin.
const HEADS: [&str; 6] = ["IP Virtual Server", "IPVS connection", "Prot ", "  -> RemoteAddress", "pro ", "Pro "];

/// Does this list conns?
fn lists_conns(cmd: &str) -> bool {
    let is_short = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.contains('c');
    cmd.contains("ip_vs_conn") || cmd.split(' ').any(|word| is_short(word) || word == "--connection")
}

/// An outcome without what is never twice alike (seconds left, the order of conns and of services in the kernel's tables), and
/// without what is named as different.
pub fn comparable(fact: &Fact, mut ended: Ended) -> Ended {
    let (is_conns, has_rates) = (lists_conns(&fact.cmd), ended.stdout.contains(" CPS "));
    let mut blocks: Vec<String> = Vec::new();
    for line in ended.stdout.lines().filter(|line| !line.contains(" NONE ") && !line.contains("10.99.0.1:83 ")) {
        let line = without_engine(line);
        let line = if has_rates { without_rates(&line) } else { line };
        let line = if is_conns { without_seconds(&line) } else { line };
        // A server belongs to the service before it.
        match blocks.last_mut().filter(|_| line.starts_with("  -> ") && !line.contains("RemoteAddress")) {
            Some(block) => *block += &format!("{line}\n"),
            None => blocks.push(format!("{line}\n")),
        }
    }
    if is_conns || fact.cmd.contains("--nosort") || fact.cmd == "cat /proc/net/ip_vs" {
        let is_head = |block: &String| HEADS.iter().any(|head| block.starts_with(head));
        let heads = blocks.iter().take_while(|block| is_head(block)).count();
        blocks[heads..].sort();
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
