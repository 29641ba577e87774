use super::*;

fn plan(workers: &[u32], devices: &[&str]) -> EalPlan {
    EalPlan {
        workers: workers.to_vec(),
        huge_pages: HugePages::Auto,
        memory_mb: 512,
        file_prefix: "uvs".to_owned(),
        devices: devices.iter().map(|device| device.parse().unwrap()).collect(),
        telemetry: false,
        log: EalLog::Warnings,
        args: vec!["-d".to_owned(), "librte_net_x.so".to_owned()],
    }
}

fn cores(numbers: impl IntoIterator<Item = u32>) -> Cores {
    Cores { shared: numbers.into_iter().collect(), ..Cores::default() }
}

#[test]
fn the_main_lcore_takes_the_cores_that_do_not_forward() {
    let isolated = Cores { isolated: [1, 2, 3].into(), ..cores([0]) };
    let rows: [(&[u32], Cores, &str, u32); 6] = [
        (&[1], cores(0..4), "0@(0,2,3),1@1", 0),
        (&[0], cores(0..2), "1@(1),0@0", 1),
        (&[0, 1], cores(0..2), "2@(0,1),0@0,1@1", 2),
        (&[0], cores(0..1), "1@(0),0@0", 1),
        (&[5, 4], cores(4..7), "0@(6),4@4,5@5", 0),
        (&[1, 2], isolated, "0@(0),1@1,2@2", 0),
    ];
    for (workers, cores, expect, main) in rows {
        assert_eq!(plan(workers, &[]).lcores(&cores).unwrap(), (expect.to_owned(), main), "{workers:?}");
    }
}

#[test]
fn workers_that_cannot_be_are_refused() {
    let rows: [(&[u32], &str); 4] = [
        (&[], "at least one"),
        (&[1, 1], "each core once"),
        (&[7], "core 7 is not there; this process may run on 0,1,200"),
        (&[200], "core 200: DPDK uses cores 0 to 127"),
    ];
    for (workers, says) in rows {
        let error = plan(workers, &[]).lcores(&cores([0, 1, 200])).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_bond_is_of_the_devices_that_the_arguments_make() {
    let mut plan = plan(&[1], &["net_bonding0,mode=1,slave=net_tap1,slave=3b:00.0,slave=net_tap2"]);
    plan.args = ["--vdev=net_tap1,iface=a", "--vdev", "net_tap2,iface=b"].map(String::from).to_vec();
    let slaves: Vec<_> = plan.slaves(&plan.devices[0]).map(|slave| slave.to_string()).collect();
    assert_eq!(slaves, ["net_tap1,iface=a", "0000:3b:00.0", "net_tap2,iface=b"]);
}

#[test]
fn memory_and_devices_become_arguments() {
    let huge = Memory { huge: true, asked_mb: 512, pages: Pages::default() };
    let args = plan(&[1], &["0000:3b:00.0,x=1", "net_tap0"]).arguments(&cores(0..2), &huge).unwrap().join(" ");
    assert_eq!(
        args,
        "uvs --lcores 0@(0),1@1 --main-lcore=0 -m 512 --in-memory --file-prefix=uvs -a 0000:3b:00.0,x=1 \
         --no-telemetry --log-level=warning --log-level=pmd.net.tap:critical -d librte_net_x.so"
    );
    // A bond's slaves are allowed as if they were ports; virtual ones are none of PCI's business.
    let bond = plan(&[1], &["net_bonding0,mode=4,slave=0000:3b:00.0,slave=3b:00.1,slave=net_null0"]);
    let args = bond.arguments(&cores(0..2), &huge).unwrap().join(" ");
    assert!(args.contains("-a 0000:3b:00.0 -a 0000:3b:00.1 --no-telemetry"), "{args}");
    let small = Memory { huge: false, ..huge };
    let mut plan = plan(&[1], &["net_null0"]);
    plan.telemetry = true;
    let args = plan.arguments(&cores(0..2), &small).unwrap().join(" ");
    assert_eq!(
        args,
        "uvs --lcores 0@(0),1@1 --main-lcore=0 -m 512 --no-huge --no-shconf --file-prefix=uvs --no-pci \
         --log-level=warning -d librte_net_x.so"
    );
}
