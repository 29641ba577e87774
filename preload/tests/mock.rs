//! A director that is none: a mock. It remembers the services and servers that it is told, lists them, and acknowledges everything else
//! unread. The protocol itself, its errors and its limits are another crate's business and tests.
//!
//! It can also do what a director should not: say nothing, or die before it answers.

use std::io::{self, BufRead, BufReader, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::message::{CONTROLLER, DONE, DUMP, ERROR, FAMILY, MULTI, Message, attribute, attributes, genl};

/// What it does with a request for its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Answers,
    /// It reads, and hangs up.
    Dies,
    /// Once it has given its family, it hangs up before it reads, so that the client is told by an error.
    Resets,
    /// It reads, and neither answers nor hangs up.
    Stops,
}

pub struct Mock {
    state: Arc<State>,
    listener: Arc<Socket>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    told: Mutex<Told>,
    changed: Condvar,
    clients: Mutex<Vec<Arc<Socket>>>,
}

struct Told {
    manner: Manner,
    clients: usize,
    /// Somebody has asked for it.
    gave_family: bool,
    /// Commands of the family that were answered, in order.
    commands: Vec<u8>,
    /// And those that were not.
    unanswered: Vec<u8>,
    /// A service's identity, its attributes, its servers'.
    services: Vec<Service>,
}

struct Service {
    identity: Vec<u8>,
    attributes: Vec<u8>,
    servers: Vec<(Vec<u8>, Vec<u8>)>,
}

pub const NEW_SERVICE: u8 = 1;
pub const DEL_SERVICE: u8 = 3;
pub const GET_SERVICE: u8 = 4;
pub const NEW_SERVER: u8 = 5;
pub const DEL_SERVER: u8 = 7;
pub const GET_SERVER: u8 = 8;
pub const GET_CONFIG: u8 = 13;
pub const GET_INFO: u8 = 15;
const FLUSH: u8 = 17;

impl Default for Told {
    fn default() -> Told {
        Told {
            manner: Manner::Answers,
            clients: 0,
            gave_family: false,
            commands: Vec::new(),
            unanswered: Vec::new(),
            services: Vec::new(),
        }
    }
}

impl Mock {
    pub fn start(run_dir: &Path) -> Mock {
        Mock::with(run_dir, Manner::Answers)
    }

    pub fn with(run_dir: &Path, manner: Manner) -> Mock {
        let state = Arc::new(State::default());
        state.told.lock().unwrap().manner = manner;
        for name in ["ipvs.sock", "proc.sock"] {
            let _ = std::fs::remove_file(run_dir.join(name));
        }
        let listener = Arc::new(Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap());
        listener.bind(&SockAddr::unix(run_dir.join("ipvs.sock")).unwrap()).unwrap();
        listener.listen(128).unwrap();
        let texts = UnixListener::bind(run_dir.join("proc.sock")).unwrap();
        // It ends with the test program: a listener of std's cannot be ended.
        thread::spawn(move || texts.incoming().try_for_each(|stream| serve_text(stream?)));
        let accepting = {
            let (state, listener) = (state.clone(), listener.clone());
            thread::spawn(move || {
                while let Ok((client, _)) = listener.accept() {
                    let client = Arc::new(client);
                    state.tell(|told| told.clients += 1);
                    state.clients.lock().unwrap().push(client.clone());
                    let state = state.clone();
                    thread::spawn(move || state.serve(&client));
                }
            })
        };
        Mock { state, listener, threads: vec![accepting] }
    }

    pub fn set(&self, manner: Manner) {
        self.state.tell(|told| told.manner = manner);
    }

    /// Clients that ever connected.
    pub fn clients(&self) -> usize {
        self.state.told.lock().unwrap().clients
    }

    /// Waits until it has answered so many commands of this kind.
    #[track_caller]
    pub fn wait_for(&self, command: u8, count: usize) {
        self.wait(|told| told.commands.iter().filter(|seen| **seen == command).count() >= count);
    }

    /// Waits until it has not answered one.
    #[track_caller]
    pub fn wait_for_unanswered(&self, command: u8) {
        self.wait(|told| told.unanswered.contains(&command));
    }

    #[track_caller]
    fn wait(&self, until: impl Fn(&Told) -> bool) {
        let told = self.state.told.lock().unwrap();
        let limit = Duration::from_secs(60);
        let (told, late) = self.state.changed.wait_timeout_while(told, limit, |told| !until(told)).unwrap();
        assert!(!late.timed_out(), "answered {:?}, did not answer {:?}", told.commands, told.unanswered);
    }
}

/// It dies: nobody listens any more, and every connection ends.
impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.listener.shutdown(std::net::Shutdown::Both);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        for client in self.state.clients.lock().unwrap().drain(..) {
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl State {
    fn tell<T>(&self, change: impl FnOnce(&mut Told) -> T) -> T {
        let result = change(&mut self.told.lock().unwrap());
        self.changed.notify_all();
        result
    }

    fn serve(&self, client: &Arc<Socket>) {
        let mut datagram = vec![0; 65_536];
        loop {
            if self.tell(|told| told.manner == Manner::Resets && told.gave_family) {
                // What was sent and never read makes the end of the connection an error.
                let _ = client.peek(&mut [MaybeUninit::uninit()]);
                break;
            }
            let length = io::Read::read(&mut &**client, &mut datagram).unwrap_or(0);
            if length == 0 {
                break;
            }
            let request = Message::of(&datagram[..length]);
            self.tell(|told| told.gave_family |= request.kind == CONTROLLER);
            let manner = self.tell(|told| told.manner);
            if request.kind == FAMILY && manner != Manner::Answers {
                self.tell(|told| told.unanswered.push(request.command()));
                match manner {
                    Manner::Stops => continue,
                    _ => break,
                }
            }
            // ipvsadm hangs up when it has read what it wants, before the acknowledgement.
            let heard = self.answer(&request).iter().all(|answer| client.send(answer).is_ok());
            if request.kind == FAMILY {
                self.tell(|told| told.commands.push(request.command()));
            }
            if !heard {
                break;
            }
        }
        self.clients.lock().unwrap().retain(|known| !Arc::ptr_eq(known, client));
    }

    /// Datagrams. The acknowledgement is one of its own: libnl throws away what follows the controller's answer in the same one.
    fn answer(&self, request: &Message) -> Vec<Vec<u8>> {
        let reply = |command, attributes: &[u8]| Message { body: genl(command, attributes), ..request.clone() };
        let quoted = [&[0; 4], &request.bytes()[..16]].concat();
        let acknowledgement = Message { kind: ERROR, flags: 0, body: quoted, ..request.clone() };
        let listed = |command, items: Vec<Vec<u8>>| {
            let item = |attributes: &Vec<u8>| Message { flags: MULTI, ..reply(command, attributes) };
            let end = Message { kind: DONE, flags: MULTI, body: vec![0; 4], ..request.clone() };
            items.iter().map(item).chain([end]).map(|message| message.bytes()).collect()
        };
        let dump = request.flags & DUMP == DUMP;
        match (request.kind, request.command()) {
            (CONTROLLER, _) => {
                let family = attribute(1, &FAMILY.to_ne_bytes());
                vec![reply(1, &family).bytes(), acknowledgement.bytes()]
            }
            (_, GET_SERVICE) if dump => listed(NEW_SERVICE, self.tell(|told| told.services())),
            (_, GET_SERVER) if dump => listed(NEW_SERVER, self.tell(|told| told.servers(request))),
            (_, _) if dump => listed(0, Vec::new()),
            (_, GET_INFO) => {
                let info = [attribute(1, &0x010201u32.to_ne_bytes()), attribute(2, &4096u32.to_ne_bytes())].concat();
                vec![reply(14, &info).bytes(), acknowledgement.bytes()]
            }
            (_, GET_CONFIG) => {
                let times =
                    [(4, 900u32), (5, 120), (6, 300)].map(|(kind, s)| attribute(kind, &s.to_ne_bytes())).concat();
                vec![reply(12, &times).bytes(), acknowledgement.bytes()]
            }
            _ => {
                self.tell(|told| told.change(request));
                vec![acknowledgement.bytes()]
            }
        }
    }
}

impl Told {
    fn change(&mut self, request: &Message) {
        let nests = attributes(&request.body[4..]);
        let nest = |kind| nests.iter().find(|nest| nest.0 == kind).map(|nest| nest.1.clone());
        let Some(service) = nest(1) else {
            if request.command() == FLUSH {
                self.services.clear();
            }
            return;
        };
        let identity = part(&service, &[1, 2, 3, 4, 5]);
        if request.command() == NEW_SERVICE {
            self.services.push(Service { identity, attributes: service, servers: Vec::new() });
            return;
        }
        if request.command() == DEL_SERVICE {
            self.services.retain(|known| known.identity != identity);
            return;
        }
        let found = self.services.iter_mut().find(|known| known.identity == identity);
        let (Some(found), Some(server)) = (found, nest(2)) else { return };
        let identity = part(&server, &[1, 2, 11]);
        found.servers.retain(|known| known.0 != identity);
        if request.command() != DEL_SERVER {
            found.servers.push((identity, server));
        }
    }

    fn services(&self) -> Vec<Vec<u8>> {
        self.services.iter().map(|service| attribute(1, &[&*service.attributes, &counters(10)].concat())).collect()
    }

    fn servers(&self, request: &Message) -> Vec<Vec<u8>> {
        let identity = attributes(&request.body[4..]).first().map(|service| part(&service.1, &[1, 2, 3, 4, 5]));
        let found = self.services.iter().find(|known| Some(&known.identity) == identity.as_ref());
        let live = [7, 8, 9].map(|kind| attribute(kind, &u32::from(kind).to_ne_bytes())).concat();
        let shown = |server: &(Vec<u8>, Vec<u8>)| attribute(2, &[&server.1, &live, &*counters(10)].concat());
        found.map_or_else(Vec::new, |service| service.servers.iter().map(shown).collect())
    }
}

/// All zero.
fn counters(kind: u16) -> Vec<u8> {
    let wide = |kind| if matches!(kind, 4 | 5) { 8 } else { 4 };
    attribute(kind, &(1..=10).flat_map(|kind| attribute(kind, &vec![0; wide(kind)])).collect::<Vec<u8>>())
}

/// Only these attributes, in this order.
fn part(nest: &[u8], kinds: &[u16]) -> Vec<u8> {
    let all = attributes(nest);
    let of = |kind: &u16| all.iter().find(|attribute| attribute.0 == *kind);
    kinds.iter().filter_map(of).flat_map(|(kind, value)| attribute(*kind, value)).collect()
}

/// The file's name and a line, so that one sees that it was asked for, and by which name.
fn serve_text(stream: UnixStream) -> io::Result<()> {
    let mut name = String::new();
    BufReader::new(&stream).read_line(&mut name)?;
    (&stream).write_all(text(name.trim_end()).as_bytes())
}

/// What the mock's files say.
pub fn text(name: &str) -> String {
    match name {
        "ip_vs_conn" => concat!(
            "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n",
            "TCP C6336401 9C41 C000020A 0050 0A00000B 1F90 ESTABLISHED     899\n",
        )
        .into(),
        name => format!("the mock's {name}\n"),
    }
}
