//! The real DPDK, on devices that exist only in software: no root, no huge pages, no network. DPDK starts once per process,
//! so this is one test; its parts run in order and share one pool, whose count is looked at after each.

mod capture;
mod chain;
mod checksum;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use uvs::dpdk::{Device, DpdkPort, Eal, EalLog, EalPlan, HugePages, Link, Mbuf, Pool, Spread, lcore};
use uvs::port::{BURST, Burst, Frame, Port};
use uvs::steer::Hashes;

const HELD_FRAMES_MAX: u32 = 1024;
const MTU: u16 = 1500;

#[test]
fn dpdk_without_a_nic() {
    let folder = tempfile::tempdir().unwrap();
    let worker = core_affinity::get_core_ids().unwrap().last().unwrap().id as u32;
    let plan = plan(worker);
    let mut eal = Eal::start(&plan).unwrap();
    assert!(!eal.memory().huge);
    assert!(Eal::start(&plan).unwrap_err().to_string().contains("cannot start twice"));

    devices_that_are_not_there(&eal, folder.path());

    a_closed_device_can_be_opened_again(&eal);
    a_device_hashes_as_the_director_does(&mut eal);

    let files = capture::Files::write(folder.path());
    let open = |name: &str, device: &str| Device::open(&eal, name, &device.parse().unwrap()).unwrap();
    let mut null = open("null", "net_null0,size=60");
    let mut ring = open("ring", "net_ring0");
    let mut pcap = open("pcap", &files.device());
    let twice = Device::open(&eal, "other", &"net_ring0".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(twice, "port other: device \"net_ring0\" is another port's already");
    let mut few = open("few", &capture::few_frames(folder.path()));
    let queues = [null.queues(1), ring.queues(1), pcap.queues(2), few.queues(1)];
    let pool = Pool::create(&mut eal, &queues, 2, HELD_FRAMES_MAX, MTU).unwrap();

    assert!(null.start(1).unwrap_err().to_string().contains("before it is configured"));
    a_frame_must_fit_its_buffer(&mut null, &pool);
    for (device, queues) in [&mut null, &mut ring, &mut pcap, &mut few].into_iter().zip(queues) {
        device.configure(queues, MTU, &pool).unwrap();
    }
    let mut null_port = null.start(1).unwrap().remove(0);
    let mut ring_port = ring.start(1).unwrap().remove(0);
    let mut pcap_ports = pcap.start(2).unwrap();
    let mut few_ports = few.start(1).unwrap();
    let free = pool.frames_free();

    a_frame_obeys_the_laws_of_a_vec(&mut null_port);
    assert_eq!(pool.frames_free(), free, "frames were made and dropped");
    chain::frames_hang_together(&mut null_port);
    assert_eq!(pool.frames_free(), free, "chains were made, cut and dropped");
    a_dry_pool_says_no(&mut null_port, &pool);
    assert_eq!(pool.frames_free(), free, "all frames were made and dropped");
    a_device_without_buffers_says_so(&mut null_port, &mut few_ports[0], &few);
    assert_eq!(pool.frames_free(), free, "the buffers are back");
    null_gives_and_takes(&mut null_port, &null);
    assert_eq!(pool.frames_free(), free, "net_null gave and took");
    a_ring_gives_back_what_it_was_sent(&mut ring_port);
    chain::fragments_go_through_a_device(&mut ring_port);
    a_full_ring_leaves_the_rest(&mut ring_port);
    checksum::unfinished_ones_are_finished(&mut ring_port, &ring);
    assert_eq!(pool.frames_free(), free, "the ring is empty again");

    a_worker_without_queues_keeps_its_frames(&mut pcap_ports[1]);
    drop(pcap_ports.pop());
    let forward = pcap_ports.remove(0);
    assert!(lcore::launch(&eal, worker + 1, || ()).unwrap_err().to_string().contains("none of the workers"));
    let running = lcore::launch(&eal, worker, move || capture::forward_all(forward)).unwrap();
    running.join();
    assert_eq!(pcap.stats().rx_chained, 1, "the frame that is longer than a buffer");
    assert_eq!(pool.frames_free(), free, "the capture went through");

    assert!(ring.stop().unwrap_err().to_string().contains("port ring: 1 workers still use its queues"));
    drop((null_port, ring_port, few_ports));
    drop((null, ring, pcap, few));
    files.check();

    let found = eal.idle().unwrap_err().to_string();
    assert!(found.contains("1 pools, devices or workers are still in use"), "{found}");
    drop(pool);
    eal.cleanup().unwrap();
}

fn plan(worker: u32) -> EalPlan {
    EalPlan {
        workers: vec![worker],
        huge_pages: HugePages::Off,
        memory_mb: 64,
        file_prefix: format!("uvs-test-{}", std::process::id()),
        devices: Vec::new(),
        telemetry: false,
        // What goes wrong here is meant to.
        log: EalLog::Errors,
        args: Vec::new(),
    }
}

fn devices_that_are_not_there(eal: &Eal, folder: &Path) {
    let missing = format!("net_pcap9,rx_pcap={}/absent.pcap,tx_pcap={}/x.pcap", folder.display(), folder.display());
    let rows = [
        ("net_nonesuch0,iface=x", "port wan: device \"net_nonesuch0,iface=x\": no DPDK driver makes such a device"),
        ("0000:ff:1f.7", "port wan: device \"0000:ff:1f.7\": there is no such PCI device"),
        (missing.as_str(), "its driver refused it"),
    ];
    for (device, says) in rows {
        let error = Device::open(eal, "wan", &device.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

fn a_closed_device_can_be_opened_again(eal: &Eal) {
    for frame_bytes in [60, 1000] {
        let address = format!("net_null7,size={frame_bytes}").parse().unwrap();
        assert_eq!(Device::open(eal, "again", &address).unwrap().info().device, address.to_string());
    }
}

fn a_frame_must_fit_its_buffer(device: &mut Device, pool: &Pool) {
    let queues = device.queues(1);
    let error = device.configure(queues, 9000, pool).unwrap_err().to_string();
    assert_eq!(error, "port null: mtu 9000: a frame of 9018 bytes, but a buffer holds 2048; at most 2030 fits");
    let error = device.configure(queues, 10, pool).unwrap_err().to_string();
    assert!(error.contains("mtu 10: device \"net_null0,size=60\" takes 46 to"), "{error}");
}

/// net_null has RSS, with a table of 128 entries.
fn a_device_hashes_as_the_director_does(eal: &mut Eal) {
    let hashes = Hashes::new(2, 7);
    let queues = Device::open(eal, "rss", &"net_null8,size=60".parse().unwrap()).unwrap().queues(2);
    assert!(queues.rss && (queues.rx, queues.tx) == (2, 2), "{queues:?}");
    let pool = Pool::create(eal, &[queues], 2, HELD_FRAMES_MAX, MTU).unwrap();
    let open = || Device::open(eal, "rss", &"net_null8,size=60".parse().unwrap()).unwrap();
    let kinds = "IPv4 TCP UDP SCTP, IPv6 TCP UDP SCTP".to_string();
    let rows: [(&str, bool, u16, Spread, &str); 3] = [
        ("all is taken", true, 2, Spread::Tuple { kinds, entries: 128 }, "no hop to services with steer = \"tuple\""),
        (
            "a table that names a queue beyond",
            true,
            9,
            Spread::Other("it refused a table of 128 entries: Invalid argument (os error 22)".into()),
            "frames are handed over in software",
        ),
        ("without the director's key", false, 2, Spread::Other("its table was not written".into()), "handed over"),
    ];
    for (what, with_key, beyond, spread, says) in rows {
        let mut device = open();
        if with_key {
            device.hash_with(hashes.toeplitz.key());
        }
        device.configure(queues, MTU, &pool).unwrap();
        assert_eq!(device.table_entries(), with_key.then_some(128), "{what}");
        let views = device.start(2).unwrap();
        device.spread_by(|entries, queues| {
            assert_eq!((entries, queues), (128, 2), "{what}");
            (0..128).map(|entry| entry % beyond).collect()
        });
        assert_eq!(device.info().spread, spread, "{what}");
        assert!(device.info().spread.in_words(2, 2).contains(says), "{what}");
        assert_eq!(device.info().spread.in_words(1, 1), "one worker owns every flow");
        drop(views);
    }
}

#[derive(Clone, Debug)]
enum Change {
    Prepend(usize),
    TrimFront(usize),
    Truncate(usize),
    Write(usize, u8),
}

fn a_frame_obeys_the_laws_of_a_vec(port: &mut DpdkPort) {
    let change = prop_oneof![
        (0usize..80).prop_map(Change::Prepend),
        (0usize..80).prop_map(Change::TrimFront),
        (0usize..2000).prop_map(Change::Truncate),
        (0usize..2000, any::<u8>()).prop_map(|(at, byte)| Change::Write(at, byte)),
    ];
    let case = (prop::collection::vec(any::<u8>(), 0..1600), prop::collection::vec(change, 0..40));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(500) });
    let port = std::cell::RefCell::new(port);
    runner
        .run(&case, |(bytes, changes)| {
            let mut frame = port.borrow_mut().make(&bytes).unwrap();
            let (mut model, mut headroom) = (bytes, 128);
            for change in changes {
                apply(change, &mut frame, &mut model, &mut headroom);
                prop_assert_eq!(frame.bytes(), &model[..]);
                prop_assert_eq!(frame.bytes_mut(), &mut model[..]);
            }
            Ok(())
        })
        .unwrap();
}

fn apply(change: Change, frame: &mut Mbuf, model: &mut Vec<u8>, headroom: &mut usize) {
    match change {
        Change::Prepend(count) => {
            let grown = frame.prepend(count);
            assert_eq!(grown, count <= *headroom);
            if grown {
                // What the new bytes hold is nobody's promise.
                frame.bytes_mut()[..count].fill(7);
                model.splice(..0, std::iter::repeat_n(7, count));
                *headroom -= count;
            }
        }
        Change::TrimFront(count) if count <= model.len() => {
            frame.trim_front(count);
            model.drain(..count);
            *headroom += count;
        }
        Change::TrimFront(count) => {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| ()));
            let refused = catch_unwind(AssertUnwindSafe(|| frame.trim_front(count)));
            std::panic::set_hook(hook);
            assert!(refused.is_err(), "trimmed more than there is");
        }
        Change::Truncate(length) => {
            frame.truncate(length);
            model.truncate(length);
        }
        Change::Write(at, byte) if at < model.len() => {
            frame.bytes_mut()[at] = byte;
            model[at] = byte;
        }
        Change::Write(..) => (),
    }
}

fn a_dry_pool_says_no(port: &mut DpdkPort, pool: &Pool) {
    assert!(port.make(&[0; 2049]).is_none(), "longer than a buffer");
    let before = pool.frames_free();
    let taken: Vec<Mbuf> = std::iter::from_fn(|| port.make(&[1; 60])).collect();
    assert_eq!(taken.len() as u32, before);
    assert_eq!(pool.frames_free(), 0);
}

/// What comes while somebody else has every buffer is lost and counted; what comes after is received.
fn a_device_without_buffers_says_so(taker: &mut DpdkPort, port: &mut DpdkPort, device: &Device) {
    let taken: Vec<Mbuf> = std::iter::from_fn(|| taker.make(&[1; 60])).collect();
    let mut burst = Burst::new();
    port.rx_burst(&mut burst);
    assert_eq!((burst.len(), device.stats().rx_no_buffer), (0, 1));
    drop(taken);
    port.rx_burst(&mut burst);
    let received: Vec<&[u8]> = burst.iter().map(Frame::bytes).collect();
    assert_eq!(received, (1..capture::FEW).map(capture::frame).collect::<Vec<_>>(), "all but the first");
    assert_eq!(device.stats().rx_no_buffer, 1);
}

fn null_gives_and_takes(port: &mut DpdkPort, null: &Device) {
    let mut burst = Burst::new();
    port.rx_burst(&mut burst);
    assert_eq!(burst.len(), BURST);
    assert!(burst.iter().all(|frame| frame.bytes().len() == 60));
    port.rx_burst(&mut burst);
    assert_eq!(burst.len(), BURST, "a full burst takes no more");
    burst.truncate(20);
    port.rx_burst(&mut burst);
    assert_eq!(burst.len(), BURST, "a burst is filled up");
    port.tx_burst(&mut burst);
    assert!(burst.is_empty());
    let info = null.info();
    assert_eq!((info.driver.as_str(), info.mtu, info.numa_node.is_some()), ("net_null", MTU, true), "{info:?}");
    assert!(matches!(null.link(), Link::Up { .. }));
    assert_eq!((null.stats().rx_frames, null.stats().tx_frames), (44, 32));
}

fn a_ring_gives_back_what_it_was_sent(port: &mut DpdkPort) {
    for round in 0..100u8 {
        let count = usize::from(round) % BURST + 1;
        let sent: Vec<Vec<u8>> = (0..count).map(|index| vec![round; 60 + index]).collect();
        let mut burst: Burst<Mbuf> = sent.iter().map(|bytes| port.make(bytes).unwrap()).collect();
        port.tx_burst(&mut burst);
        assert!(burst.is_empty());
        port.rx_burst(&mut burst);
        let received: Vec<&[u8]> = burst.iter().map(Frame::bytes).collect();
        assert_eq!(received, sent, "round {round}");
    }
}

fn a_full_ring_leaves_the_rest(port: &mut DpdkPort) {
    let mut sent = 0u16;
    let mut refused = Burst::new();
    while refused.is_empty() {
        while !refused.is_full() {
            refused.push(port.make(&(sent + refused.len() as u16).to_be_bytes()).unwrap());
        }
        port.tx_burst(&mut refused);
        sent += (BURST - refused.len()) as u16;
    }
    let left: Vec<Vec<u8>> = refused.iter().map(|frame| frame.bytes().to_vec()).collect();
    let expect: Vec<Vec<u8>> = (sent..).take(left.len()).map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(left, expect, "the refused frames are the last, in order");
    let mut received = 0u16;
    loop {
        let mut burst = Burst::new();
        port.rx_burst(&mut burst);
        if burst.is_empty() {
            break;
        }
        for frame in burst {
            assert_eq!(frame.bytes(), received.to_be_bytes());
            received += 1;
        }
    }
    assert_eq!(received, sent);
}

fn a_worker_without_queues_keeps_its_frames(port: &mut DpdkPort) {
    assert!(!port.can_send() && !port.can_receive());
    let mut burst: Burst<Mbuf> = (0..3).map(|_| port.make(&[0; 60]).unwrap()).collect();
    port.tx_burst(&mut burst);
    port.rx_burst(&mut burst);
    assert_eq!(burst.len(), 3);
}
