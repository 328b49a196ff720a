//! A cable between two network namespaces: what is done at each of its ends.

use std::net::Ipv4Addr;

use anyhow::{Result, bail, ensure};
use ipnet::Ipv4Net;
use nix::unistd::Pid;

use crate::Netlink;

/// What the end inside is called, as in Docker.
const INSIDE: &str = "eth0";

// ANCHOR: cable
/// A veth pair between the network namespace of the caller and another. It goes when this is
/// dropped; and with the other namespace, when nobody is left to drop it.
pub struct Cable {
    netlink: Netlink,
    name: String,
}

impl Cable {
    /// Lays a cable into the network namespace of process `pid`, where its end is called `eth0`.
    /// The end here is called `name`, has `address`, and is up.
    ///
    /// # Errors
    ///
    /// As for [`Netlink::add_veth`], [`Netlink::add_address`] and [`Netlink::set_up`]. And when
    /// another interface here is in the same network: the kernel takes that, and sends the packets
    /// to whichever came first.
    pub fn lay(name: &str, pid: Pid, address: Ipv4Net) -> Result<Cable> {
        let netlink = Netlink::open()?;
        netlink.add_veth(name, INSIDE, pid)?;
        let cable = Cable { netlink, name: name.to_owned() };
        cable.netlink.add_address(name, address)?;
        // Looked for after, not before: of two who do this at once, the later one sees the other.
        for link in cable.netlink.links()?.iter().filter(|link| link.name != name) {
            for theirs in &link.addresses {
                let overlap = theirs.contains(&address.addr()) || address.contains(&theirs.addr());
                ensure!(
                    !overlap,
                    "cannot give {name} the address {address}: {} has {theirs}, of the same network",
                    link.name
                );
            }
        }
        cable.netlink.set_up(name)?;
        Ok(cable)
    }

    /// Readies the end of a cable that lies in the network namespace of the caller: it has
    /// `address`, is up, and leads to `gateway`, the address of the other end.
    ///
    /// # Errors
    ///
    /// As for [`Netlink::add_address`], [`Netlink::set_up`] and [`Netlink::add_default_route`]. And
    /// when both ends are to have one address, which the kernel takes.
    pub fn take_end(address: Ipv4Net, gateway: Ipv4Addr) -> Result<()> {
        if address.addr() == gateway {
            bail!("cannot use the cable: both of its ends have the address {gateway}");
        }
        let netlink = Netlink::open()?;
        netlink.add_address(INSIDE, address)?;
        netlink.set_up(INSIDE)?;
        netlink.add_default_route(gateway)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // It may have gone with the other namespace, which is as good.
        _ = self.netlink.remove(&self.name);
    }
}
// ANCHOR_END: cable
