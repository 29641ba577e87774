//! A real server that stops and comes back under load, and one whose network card is another.

use uvs::demo::Failure;
use uvs::demo::plan::{SERVERS, Service};
use uvs::demo::process::Process;
use uvs::demo::requests::{AfterFailure, Answer};
use uvs::demo::servers::PAGE;

use crate::methods::Bench;

/// The server that goes and comes back.
const GOES: usize = 1;

/// Under load, the requests that are scheduled to the stopped server are refused at once, all others answered; after it came back, all.
pub fn goes_and_comes_back(bench: &mut Bench) -> Result<(), Failure> {
    let mut load = background_load(bench)?;
    bench.servers[GOES].stop_nginx()?;
    let answers = bench.round(AfterFailure::GoOn)?;
    let from = |server: usize| {
        answers.iter().filter(|(_, answer)| matches!(answer, Answer::From(from) if *from == server)).count()
    };
    let wrong: Vec<&String> = answers
        .iter()
        .filter_map(|(_, answer)| match answer {
            Answer::Wrong(why) => Some(why),
            Answer::From(_) => None,
        })
        .collect();
    if from(GOES) > 0 || wrong.is_empty() || (0..SERVERS).any(|server| server != GOES && from(server) == 0) {
        return Err(Failure::new(format!("with one server stopped, answers came from {:?}", [0, 1, 2, 3].map(from))));
    }
    if let Some(why) = wrong.iter().find(|why| !why.contains("Failed to connect") && !why.contains("refused")) {
        return Err(Failure::new(format!("a stopped server's port refuses; curl says: {why}")));
    }
    bench.servers[GOES].start_nginx(&bench.network)?;
    bench.pages()?;
    for load in &mut load {
        load.wait()?;
    }
    Ok(())
}

/// As when a server's network card is replaced: it says so (gratuitous ARP, unsolicited advertisement), and the next conns arrive.
pub fn changes_mac(bench: &mut Bench) -> Result<(), Failure> {
    let server = &bench.network.servers[GOES];
    server.sysctl(&["net.ipv4.conf.eth0.arp_notify=1", "net.ipv6.conf.eth0.ndisc_notify=1"])?;
    // Locally administered, another one for each director.
    server.ip(&format!("link set eth0 address 02:00:00:00:0e:{:02x}", bench.director.id() as u8))?;
    bench.pages()
}

/// wrk against every service at once; its own verdict does not count here, for it meets the stopped server too.
fn background_load(bench: &Bench) -> Result<Vec<Process>, Failure> {
    let start = |(number, service): (usize, &Service)| {
        let mut command = bench.network.client.command("wrk");
        command.args(["-t", "1", "-c", "4", "-d", "5", &format!("http://{}{PAGE}", service.vip)]);
        Process::start("wrk", &mut command, &bench.network.directory().join(format!("wrk-{number}.log")))
    };
    bench.web.iter().enumerate().map(start).collect()
}
