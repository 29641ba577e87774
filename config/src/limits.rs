//! Every bound of the file in one place for readers; each is defined, with its reason, beside what it bounds.

pub use crate::device::DEVICES_MAX;
pub use crate::director::{
    CONNS_MAX, EAL_ARGS_MAX, LCORES_MAX, MEMORY_MB_MAX, NEIGHBORS_MAX, RUN_DIR_BYTES_MAX, SERVERS_MAX, TEMPLATES_MAX,
    WORKERS_MAX,
};
pub use crate::errors::FAULTS_MAX;
pub use crate::fullnat::{LOCAL_ADDRESSES_MAX, MASQUERADED_MAX};
pub use crate::ipvs::DEFENSE_NUMBER_MAX;
pub use crate::mark::MARKS_MAX;
pub use crate::port::{
    HOST_NAME_BYTES_MAX, MTU_MAX, MTU_MIN, MTU_MIN_IPV6, PORT_ADDRESSES_MAX, PORT_NAME_BYTES_MAX, PORTS_MAX, VLAN_MAX,
};
pub use crate::route::ROUTES_MAX;
pub use crate::scheduler::{MH_TABLE_DEFAULT, MH_TABLE_MAX, MH_TABLE_MIN};
pub use crate::server::{SERVICE_SERVERS_MAX, THRESHOLD_MAX, WEIGHT_MAX};
pub use crate::service::SERVICES_MAX;
pub use crate::timeouts::TIMEOUT_S_MAX;

/// Longest file, in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;
