//! Which addresses are this machine's own, and so none of a tenant's business.

use std::net::IpAddr;

/// Whether an address is of this very machine or of its link.
///
/// The machine's own services, and those that clouds offer to a machine on link-local addresses, take whoever comes from it
/// for a friend; what a tenant makes the server ask is none.
pub fn is_own_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_unspecified() || address.is_link_local() || address.is_broadcast()
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local(),
    }
}
