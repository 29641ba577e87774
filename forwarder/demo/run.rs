//! The demo itself: build, run the rounds of requests, compare, sum up.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use control::show;

use super::director::{Director, Forwarding};
use super::network::{Attachment, Network};
use super::plan::{CLIENTS, Family, SERVERS, Service};
use super::requests::{self, AfterFailure, Answer, Request, Round};
use super::servers::{self, PAGE, Server};
use super::shares::{Promise, listing_of};
use super::table::{Screen, State};
use super::wait::{check_interrupted, interrupted, wait_until};
use super::{DemoArgs, Failure};

/// In each round every client asks every service once. So many that a person sees the shares settle.
const ROUNDS: usize = 20;
/// After the set-up; the demo takes a few seconds of it.
const RUN_TIME_MAX: Duration = Duration::from_secs(100);
/// Between two looks at the director's counters.
const REDRAW_EVERY: Duration = Duration::from_millis(200);
/// Wrong answers that are told one by one.
const WRONG_TOLD_MAX: usize = 5;

/// Runs the demo of `services`, with `uvs` as the director's program.
pub fn run(args: &DemoArgs, services: &[Service], uvs: &Path) -> Result<(), Failure> {
    let mut demo = Demo::set_up(args, services, uvs)?;
    demo.introduce();
    let started = Instant::now();
    demo.rounds(started).and_then(|()| demo.sum_up(started)).map_err(|failure| demo.director.explain(failure))?;
    if args.keep {
        demo.keep(uvs)?;
    }
    demo.director.stop()
}

/// Everything that is up while the demo runs. Fields are dropped in this order: the network last.
struct Demo<'a> {
    args: &'a DemoArgs,
    services: &'a [Service],
    director: Director,
    _servers: Vec<Server>,
    listing: Vec<show::Service>,
    promises: Vec<Promise>,
    got: Vec<[u64; SERVERS]>,
    screen: Screen,
    network: Network,
}

impl<'a> Demo<'a> {
    fn set_up(args: &'a DemoArgs, services: &'a [Service], uvs: &Path) -> Result<Demo<'a>, Failure> {
        println!("UVS demo: real clients reach real web servers through a director in user space, by every method.\n");
        println!("  building a network of namespaces, with four nginx ...");
        let network = Network::build(0, Attachment::Tap, services)?;
        let servers = servers::start_all(&network, services, uvs)?;
        println!("  starting the director ...");
        let mut director =
            Director::start(&network, services, uvs, args.test_break.as_deref(), Forwarding::by(args.workers))?;
        let listing = director.services()?;
        let promise = |service| {
            let told = listing_of(&listing, service);
            let missing = || Failure::new(format!("the director does not list {service:?}"));
            told.ok_or_else(missing).and_then(|told| Promise::of(service, told))
        };
        let promises = services.iter().map(promise).collect::<Result<Vec<_>, _>>()?;
        let screen = Screen::for_services(services.len());
        let got = vec![[0; SERVERS]; services.len()];
        Ok(Demo { args, services, director, _servers: servers, listing, promises, got, screen, network })
    }

    fn introduce(&self) {
        println!(
            "
  client ──── wan ──── director ──── lan ──┬── s1
  {CLIENTS} addresses         uvs run             ├── s2     each a namespace
  of each family       on DPDK             ├── s3     with a real nginx
                       (net_tap)           └── s4

  namespaces  {}-client, -director, -lan, -s1 ... -s4
  config      {}
  log         {}
",
            self.network.tag(),
            self.director.config().display(),
            self.director.log().display(),
        );
    }

    fn rounds(&mut self, started: Instant) -> Result<(), Failure> {
        for number in 1..=ROUNDS {
            let requests = requests::of_every_client(self.services, number);
            let mut round = Round::start(&self.network, self.services, requests, AfterFailure::Stop)?;
            if self.args.test_kill && number == ROUNDS / 2 {
                self.director.kill();
            }
            while !round.ended() {
                self.look(&self.progress(started))?;
                if started.elapsed() > RUN_TIME_MAX {
                    return Err(Failure::new(format!("not done within {RUN_TIME_MAX:?}")));
                }
            }
            self.count(round.answers())?;
            self.screen.step(&self.progress(started));
        }
        Ok(())
    }

    /// Asks the director for its counters and draws them, then rests.
    fn look(&mut self, progress: &str) -> Result<(), Failure> {
        check_interrupted()?;
        self.director.check_running()?;
        self.listing = self.director.services()?;
        let state = State { services: self.services, listing: &self.listing, promises: &self.promises, got: &self.got };
        self.screen.redraw(&state, progress);
        std::thread::sleep(REDRAW_EVERY);
        Ok(())
    }

    /// Every answer must be right, and come from the server the scheduler promises, if it promises one.
    fn count(&mut self, answers: Vec<(Request, Answer)>) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        for (request, answer) in answers {
            let service = &self.services[request.service];
            let promised = self.promises[request.service].ask(&request);
            match answer {
                Answer::From(server) => {
                    self.got[request.service][server] += 1;
                    if promised.is_some_and(|promised| promised != server) {
                        let promised = promised.map(name).unwrap_or_default();
                        wrong.push(told(
                            service,
                            request.client,
                            &format!("{} answered, {} promises {promised}", name(server), service.scheduler),
                        ));
                    }
                }
                Answer::Wrong(why) => wrong.push(told(service, request.client, &why)),
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        self.director.check_running()?;
        let count = wrong.len();
        wrong.truncate(WRONG_TOLD_MAX);
        Err(Failure::new(format!("{count} requests without the right answer, the first:\n  {}", wrong.join("\n  "))))
    }

    fn progress(&self, started: Instant) -> String {
        let answered = self.answered();
        let asked = ROUNDS * CLIENTS * self.services.len();
        format!("{answered} of {asked} requests answered, {:.1} s", started.elapsed().as_secs_f64())
    }

    fn answered(&self) -> u64 {
        self.got.iter().flatten().sum()
    }

    /// The last look: the director must have counted what curl got, and every scheduler must have kept its promise.
    fn sum_up(&mut self, started: Instant) -> Result<(), Failure> {
        let (services, got) = (self.services, self.got.clone());
        let mut listing = Vec::new();
        let director = &mut self.director;
        let counted = wait_until("the director had counted every conn", || {
            listing = director.services()?;
            Ok(services.iter().zip(&got).all(|(service, got)| conns(&listing, service) == *got))
        });
        self.listing = listing;
        let progress = self.progress(started);
        let state = State { services: self.services, listing: &self.listing, promises: &self.promises, got: &self.got };
        self.screen.finish(&state, &progress);
        counted.map_err(|failure| self.miscounted(&failure))?;
        self.director.check_accounts()?;

        let judged = self.services.iter().zip(&self.promises).zip(&self.got);
        let broken: Vec<String> = judged
            .filter_map(|((service, promise), got)| {
                promise.broken_by(*got).map(|why| format!("{} {}: {why}", service.vip, service.scheduler))
            })
            .collect();
        if !broken.is_empty() {
            return Err(Failure::new(broken.join("\n  ")));
        }
        self.praise(started)
    }

    fn miscounted(&self, failure: &Failure) -> Failure {
        let differs = self.services.iter().zip(&self.got).filter_map(|(service, got)| {
            let told = conns(&self.listing, service);
            (told != *got)
                .then(|| format!("\n  {}: curl got {got:?} answers, the director counts {told:?} conns", service.vip))
        });
        Failure::new(format!("{failure}{}", differs.collect::<String>()))
    }

    fn praise(&mut self, started: Instant) -> Result<(), Failure> {
        let workers = self.director.workers()?;
        let received: u64 = workers.iter().map(|worker| worker.received).sum();
        let dropped: u64 = workers.iter().map(|worker| worker.dropped).sum();
        println!(
            "
  Every one of {} answers was right, byte for byte; rr, wrr, sh and mh to the conn, wlc within {} points.
  The director received {received} frames and accounts for each of them ({dropped} dropped). {:.1} s.",
            self.answered(),
            super::shares::TOLERANCE,
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn keep(&mut self, uvs: &Path) -> Result<(), Failure> {
        let client = self.network.client.name();
        let run_dir = self.director.run_dir().display();
        let uvs = uvs.display();
        println!("\n  Everything stays up until Ctrl-C. Try, as root in another terminal:\n");
        for service in self.services {
            println!("    ip netns exec {client} curl -s 'http://{}{PAGE}' | head -1", service.vip);
        }
        let (director, vip) = (Family::V4.director_wan(), self.services[0].vip.ip());
        for command in [
            format!("{uvs} show services --run-dir {run_dir}"),
            format!("{uvs} show conns --run-dir {run_dir} | head"),
            format!("{uvs} show workers --run-dir {run_dir}"),
            format!("{uvs} show drops --run-dir {run_dir}"),
            format!("ip netns exec {client} ping -c 3 {director}"),
            format!("ip netns exec {client} wrk -c 100 -d 5 http://{vip}{PAGE}"),
        ] {
            println!("    {command}");
        }
        while !interrupted() {
            self.director.check_running()?;
            std::thread::sleep(REDRAW_EVERY);
        }
        println!("\n  Taking everything down.");
        Ok(())
    }
}

fn name(server: usize) -> String {
    super::network::SERVER_NAMES[server].to_owned()
}

fn told(service: &Service, client: IpAddr, why: &str) -> String {
    format!("{client} to {} ({}): {why}", service.vip, super::plan::method_word(service.method))
}

/// Conns of each server of a service, as the director counts them.
fn conns(listing: &[show::Service], service: &Service) -> [u64; SERVERS] {
    let mut conns = [0; SERVERS];
    let told = listing_of(listing, service);
    for server in &service.servers {
        let address = service.family().server(server.index);
        let told = told.and_then(|told| told.servers.iter().find(|told| told.address.ip() == address));
        conns[server.index] = told.map_or(0, |told| told.traffic.conns);
    }
    conns
}
