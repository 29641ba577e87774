//! Why a PCI device is no port, read from sysfs and `/proc`: DPDK itself only says nothing, or, with uio, takes a device from under
//! the process that has it.

use super::processes::Process;
use std::fs;
use std::path::{Path, PathBuf};

const DEVICES: &str = "/sys/bus/pci/devices";

/// What was found, and what would be right.
pub(super) fn why_absent(name: &str) -> String {
    why_absent_below(Path::new(DEVICES), name)
}

/// That another process drives it, as far as this one may look, and what would be right. To be asked before DPDK starts: vfio gives a
/// device to one process, uio to all who ask, and whichever closes it first stops it for the others.
pub(super) fn why_busy(name: &str) -> Option<String> {
    busy(&Path::new(DEVICES).join(name), Path::new("/dev"))
}

fn why_absent_below(folder: &Path, name: &str) -> String {
    let device = folder.join(name);
    if !device.exists() {
        return "there is no such PCI device; `dpdk-devbind.py --status-dev net` lists them".to_owned();
    }
    let driver = fs::read_link(device.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    if let Some(busy) = busy(&device, Path::new("/dev")) {
        return busy;
    }
    match driver {
        None => format!("it is bound to no driver; `dpdk-devbind.py --bind=vfio-pci {name}` gives it to DPDK"),
        Some(driver @ ("vfio-pci" | "uio_pci_generic" | "igb_uio")) => {
            format!("it is bound to {driver}, but no DPDK driver took it; what DPDK printed above may say why")
        }
        Some(driver) => {
            format!("it belongs to the kernel's {driver}; `dpdk-devbind.py --bind=vfio-pci {name}` gives it to DPDK")
        }
    }
}

fn busy(device: &Path, nodes: &Path) -> Option<String> {
    let opened = |node: &PathBuf| Process::with_open(node).filter(|holder| !holder.is_own());
    let (holder, node) = nodes_of(device, nodes).into_iter().find_map(|node| Some((opened(&node)?, node)))?;
    Some(format!("{holder} has it open ({}); stop that one, or give this port another device", node.display()))
}

/// What a driver in user space opens to have the device: its node of uio, or its group's of vfio, which one process has as a whole.
fn nodes_of(device: &Path, nodes: &Path) -> Vec<PathBuf> {
    let group = fs::read_link(device.join("iommu_group")).ok();
    let group = group.as_deref().and_then(Path::file_name).map(|group| nodes.join("vfio").join(group));
    let uio = fs::read_dir(device.join("uio")).into_iter().flatten().flatten();
    group.into_iter().chain(uio.map(|entry| nodes.join(entry.file_name()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    #[test]
    fn each_state_has_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        for (name, driver) in [("a", None), ("b", Some("e1000e")), ("c", Some("vfio-pci"))] {
            let device = folder.path().join(name);
            fs::create_dir(&device).unwrap();
            if let Some(driver) = driver {
                symlink(Path::new("/sys/bus/pci/drivers").join(driver), device.join("driver")).unwrap();
            }
        }
        let rows = [
            ("absent", "no such PCI device"),
            ("a", "bound to no driver; `dpdk-devbind.py --bind=vfio-pci a`"),
            ("b", "the kernel's e1000e; `dpdk-devbind.py --bind=vfio-pci b`"),
            ("c", "bound to vfio-pci, but no DPDK driver took it"),
        ];
        for (name, says) in rows {
            let why = why_absent_below(folder.path(), name);
            assert!(why.contains(says), "{name}: {why}");
        }
    }

    #[test]
    fn who_drives_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let nodes = folder.path().canonicalize().unwrap().join("dev");
        let (by_uio, by_vfio) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(by_uio.join("uio/uio3")).unwrap();
        fs::create_dir_all(nodes.join("vfio")).unwrap();
        fs::create_dir(&by_vfio).unwrap();
        symlink("/sys/kernel/iommu_groups/7", by_vfio.join("iommu_group")).unwrap();
        for (device, node) in [(by_uio, "uio3"), (by_vfio, "vfio/7")] {
            let node = nodes.join(node);
            let own = fs::File::create(&node).unwrap();
            assert_eq!(busy(&device, &nodes), None, "opened by this process only");
            let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(own).spawn().unwrap();
            let says = busy(&device, &nodes);
            drop(other.stdin.take());
            other.wait().unwrap();
            let expect = format!("process {} (cat) has it open ({})", other.id(), node.display());
            assert!(says.as_ref().is_some_and(|says| says.starts_with(&expect)), "{says:?}, expected {expect}");
        }
    }
}
