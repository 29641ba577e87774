//! Finds DPDK with pkg-config, links it dynamically (drivers are found at run time, and dpdk-dumpcap can attach) and
//! generates bindings for the few functions that `forwarder/dpdk` calls.

fn main() {
    #[cfg(feature = "bindings")]
    bindings::generate();
}

#[cfg(feature = "bindings")]
mod bindings {
    use std::{env, path::PathBuf, process::Command};

    /// What forwarder/dpdk calls. The types they need come with them.
    const FUNCTIONS: &[&str] = &[
        "rte_eal_(init|cleanup|get_runtime_dir|remote_launch|get_lcore_state|wait_lcore)",
        "rte_dev_probe",
        "rte_vdev_uninit",
        "rte_pktmbuf_pool_create",
        "rte_mempool_(avail_count|in_use_count)",
        "rte_net_get_ptype",
        "rte_eth_dev_(adjust_nb_rx_tx_desc|close|configure|get_mtu|get_port_by_name|info_get|set_mtu|socket_id|start|stop|vlan_filter)",
        "rte_eth_dev_rss_(hash_conf_get|hash_update|reta_update)",
        "rte_eth_(call_rx_callbacks|call_tx_callbacks|find_next|link_get_nowait|macaddr_get|stats_get)",
        "rte_eth_(rx_queue_setup|tx_queue_setup|allmulticast_enable|promiscuous_enable)",
        "rte_eth_bond_(mode_get|primary_get|primary_set|slaves_get)",
        "rte_eth_dev_get_name_by_port",
        "if_indextoname",
        "shim_.*",
    ];
    const VARIABLES: &[&str] = &[
        "rte_eth_fp_ops",
        "SHIM_.*",
        "BONDING_MODE_ACTIVE_BACKUP",
        "RTE_ETH_NAME_MAX_LEN",
        "RTE_MAX_ETHPORTS",
        "RTE_MAX_LCORE",
        "RTE_PKTMBUF_HEADROOM",
        "IF_NAMESIZE",
    ];

    pub fn generate() {
        for file in ["build.rs", "wrapper.h", "shim.c"] {
            println!("cargo:rerun-if-changed={file}");
        }
        let flags = compiler_flags();
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));

        let mut builder = bindgen::Builder::default()
            .header("wrapper.h")
            .clang_args(&flags)
            .derive_default(true)
            .generate_comments(false)
            .prepend_enum_name(false)
            .layout_tests(true);
        for name in FUNCTIONS {
            builder = builder.allowlist_function(name);
        }
        for name in VARIABLES {
            builder = builder.allowlist_var(name);
        }
        builder
            .generate()
            .expect("bindgen reads DPDK's headers (libclang comes with the package libclang-dev)")
            .write_to_file(out.join("bindings.rs"))
            .expect("OUT_DIR is writable");

        let mut shim = cc::Build::new();
        for flag in &flags {
            shim.flag(flag);
        }
        shim.file("shim.c").opt_level(3).compile("dpdk_shim");
        // After the shim: the linker reads from left to right, and the shim calls DPDK.
        link();
    }

    /// Every word of `pkg-config --cflags`: the crate would drop `-march=…` and `-include rte_config.h`, and without
    /// them the structures have another layout.
    fn compiler_flags() -> Vec<String> {
        let found = Command::new("pkg-config").args(["--cflags", "libdpdk >= 22.11"]).output();
        match found {
            Ok(output) if output.status.success() => {
                String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
            }
            _ => missing(),
        }
    }

    fn link() {
        if pkg_config::Config::new().atleast_version("22.11").probe("libdpdk").is_err() {
            missing();
        }
        // Drivers are no business of pkg-config. The first has the virtual devices, and plug-ins expect to find it linked; the other
        // has a bond's own calls.
        println!("cargo:rustc-link-lib=rte_bus_vdev");
        println!("cargo:rustc-link-lib=rte_net_bond");
    }

    /// Ends the build with one line. A panic would bury it under a backtrace.
    fn missing() -> ! {
        println!(
            "cargo::error=libdpdk 22.11 or newer not found by pkg-config: run `make setup`, or build with --no-default-features"
        );
        std::process::exit(1)
    }
}
