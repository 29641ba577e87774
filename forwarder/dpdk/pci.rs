//! Why a PCI device is no port, read from sysfs: DPDK itself only says nothing.

use super::processes::Process;
use std::fs;
use std::path::Path;

/// What was found, and what would be right.
pub(super) fn why_absent(name: &str) -> String {
    why_absent_below(Path::new("/sys/bus/pci/devices"), name)
}

fn why_absent_below(folder: &Path, name: &str) -> String {
    let device = folder.join(name);
    if !device.exists() {
        return "there is no such PCI device; `dpdk-devbind.py --status-dev net` lists them".to_owned();
    }
    let driver = fs::read_link(device.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    match driver {
        None => format!("it is bound to no driver; `dpdk-devbind.py --bind=vfio-pci {name}` gives it to DPDK"),
        Some("vfio-pci") if holder(&device).is_some() => {
            let holder = holder(&device).map_or(String::new(), |holder| holder.to_string());
            format!(
                "{holder} has it open, and vfio gives a device to one process; stop that one, or give this port another device"
            )
        }
        Some(driver @ ("vfio-pci" | "uio_pci_generic" | "igb_uio")) => {
            format!("it is bound to {driver}, but no DPDK driver took it; what DPDK printed above may say why")
        }
        Some(driver) => {
            format!("it belongs to the kernel's {driver}; `dpdk-devbind.py --bind=vfio-pci {name}` gives it to DPDK")
        }
    }
}

/// Who has the device's group open. A group of several devices is given to one process as a whole.
fn holder(device: &Path) -> Option<Process> {
    let group = fs::read_link(device.join("iommu_group")).ok()?;
    let holder = Process::with_open(&Path::new("/dev/vfio").join(group.file_name()?))?;
    (!holder.is_own()).then_some(holder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

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
}
