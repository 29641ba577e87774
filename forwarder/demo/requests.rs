//! A round of requests, made by one curl in the client's namespace: each from an address of its own choice, each on a connection of its
//! own, some in parallel. An answer counts only if every byte is that of one of the real servers' pages.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use super::network::Network;
use super::plan::{CLIENTS, SERVERS, Service};
use super::process::Process;
use super::servers::{PAGE, page};

/// Requests under way at once: enough to mix the services, few enough to leave two cores room.
const PARALLEL: usize = 16;
/// A request takes milliseconds; a lost SYN costs one second, the next three, then seven.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);
/// The clients' ports go up from here; those that the kernel chooses for other programs begin at 32768.
const FIRST_PORT: u16 = 20_000;

/// One request to be made.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Index of the service.
    pub service: usize,
    /// Source address.
    pub client: IpAddr,
    /// Source port, never used before: the director may still remember the conn that it belonged to, and would not schedule.
    pub client_port: u16,
}

/// One request of every client to every service, from ports that no other `round` uses.
pub fn of_every_client(services: &[Service], round: usize) -> Vec<Request> {
    let first_port = FIRST_PORT + (round * services.len()) as u16;
    let of_client = |index: usize| {
        let ports = services.iter().enumerate().zip(first_port..);
        ports.map(move |((service, plan), client_port)| Request {
            service,
            client: plan.family().client(index),
            client_port,
        })
    };
    (0..CLIENTS).flat_map(of_client).collect()
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The page of this real server, byte for byte.
    From(usize),
    /// Anything else.
    Wrong(String),
}

/// What happens to the other requests when one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// They are given up.
    Stop,
    /// They are made.
    GoOn,
}

/// Requests under way.
#[derive(Debug)]
pub struct Round {
    curl: Process,
    requests: Vec<Request>,
    directory: PathBuf,
}

impl Round {
    /// Starts the requests, in their order.
    pub fn start(
        network: &Network,
        services: &[Service],
        requests: Vec<Request>,
        after_failure: AfterFailure,
    ) -> Result<Round, Failure> {
        let directory = network.directory().join("answers");
        let file = network.directory().join("requests.curl");
        let _ = fs::remove_dir_all(&directory);
        let transfers: Vec<String> = requests
            .iter()
            .enumerate()
            .map(|(number, request)| {
                let vip = services[request.service].vip;
                let seconds = REQUEST_TIME_MAX.as_secs();
                format!(
                    "url = \"http://{vip}{PAGE}\"\ninterface = \"{}\"\nlocal-port = {}\noutput = \"{}/{number}\"\n\
                     max-time = {seconds}\nnoproxy = \"*\"\ngloboff\n\
                     write-out = \"{number} %{{exitcode}} %{{http_code}} %{{errormsg}}\\n\"\n",
                    request.client,
                    request.client_port,
                    directory.display()
                )
            })
            .collect();
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&file, transfers.join("next\n")))
            .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;

        let mut command = network.client.command("curl");
        // Without its second name, --silent lets a meter through that breaks into the lines of `write-out`.
        command.args(["-q", "--silent", "--no-progress-meter", "--parallel", "--parallel-immediate"]);
        command.args((after_failure == AfterFailure::Stop).then_some("--fail-early"));
        command.args(["--parallel-max", &PARALLEL.to_string(), "--config"]).arg(&file);
        let curl = Process::start("curl", &mut command, &network.directory().join("curl.log"))?;
        Ok(Round { curl, requests, directory })
    }

    /// curl has ended: all requests have been made, or one has failed.
    pub fn ended(&mut self) -> bool {
        self.curl.ended().is_some()
    }

    /// The requests with their answers.
    pub fn answers(self) -> Vec<(Request, Answer)> {
        let pages: Vec<Vec<u8>> = (0..SERVERS).map(page).collect();
        let output = self.curl.output();
        let mut said = vec![None; self.requests.len()];
        for line in output.lines() {
            let mut words = line.splitn(2, ' ');
            let number = words.next().and_then(|word| word.parse::<usize>().ok());
            if let Some(place) = number.and_then(|number| said.get_mut(number)) {
                *place = words.next();
            }
        }
        let answer = |(number, request): (usize, &Request)| {
            let body = fs::read(self.directory.join(number.to_string())).unwrap_or_default();
            (*request, judge(said[number], &body, &pages))
        };
        self.requests.iter().enumerate().map(answer).collect()
    }
}

/// `said` is curl's "exitcode http_code errormsg".
fn judge(said: Option<&str>, body: &[u8], pages: &[Vec<u8>]) -> Answer {
    let Some(said) = said else { return Answer::Wrong("not answered before another request failed".into()) };
    let mut words = said.splitn(3, ' ');
    let (exit, status, error) = (words.next(), words.next(), words.next().unwrap_or_default());
    if exit != Some("0") {
        return Answer::Wrong(error.to_owned());
    }
    if status != Some("200") {
        return Answer::Wrong(format!("HTTP status {}", status.unwrap_or_default()));
    }
    match pages.iter().position(|page| page == body) {
        Some(server) => Answer::From(server),
        None => Answer::Wrong(format!("{} bytes that are no real server's page", body.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_page_is_an_answer() {
        let pages: Vec<Vec<u8>> = (0..SERVERS).map(page).collect();
        let mut broken = pages[1].clone();
        broken[3000] ^= 1;
        type Row<'a> = (&'a str, Option<&'a str>, &'a [u8], Result<usize, &'a str>);
        let rows: [Row; 6] = [
            ("first server", Some("0 200 "), &pages[0], Ok(0)),
            ("last server", Some("0 200 "), &pages[3], Ok(3)),
            ("one bit differs", Some("0 200 "), &broken, Err("bytes that are no real server's page")),
            ("cut", Some("0 200 "), &pages[1][..100], Err("100 bytes")),
            ("time out", Some("28 000 Connection timed out"), b"", Err("Connection timed out")),
            ("error page", Some("0 404 "), &pages[0], Err("HTTP status 404")),
        ];
        for (what, said, body, expected) in rows {
            match (judge(said, body, &pages), expected) {
                (Answer::From(server), Ok(expected)) => assert_eq!(server, expected, "{what}"),
                (Answer::Wrong(why), Err(expected)) => assert!(why.contains(expected), "{what}: {why}"),
                (answer, _) => panic!("{what}: {answer:?}"),
            }
        }
        assert!(matches!(judge(None, &pages[0], &pages), Answer::Wrong(_)));
    }
}
