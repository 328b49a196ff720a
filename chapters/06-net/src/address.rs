//! Addresses and routes: `RTM_GETADDR`, `RTM_NEWADDR`, `RTM_NEWROUTE` of `rtnetlink(7)`.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use ch00_ground::refusal::Help;
use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{GetAddress, NewAddress, NewRoute};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno;

use crate::Netlink;
use crate::netlink::TAKES_CAPABILITY;

impl Netlink {
    // ANCHOR: add_address
    /// Gives an interface an address. With it goes, once the interface is up, a route to the network
    /// that the address is of. `ip address add ADDRESS dev NAME` does the same.
    ///
    /// # Errors
    ///
    /// EEXIST when the interface has it already; ENODEV when there is no such interface; EPERM
    /// without CAP_NET_ADMIN in the user namespace that owns this network namespace.
    pub fn add_address(&self, name: &str, address: Ipv4Net) -> Result<()> {
        let call = || format!("RTM_NEWADDR({name:?}, {address})");
        let add = || -> Result<()> {
            let index = self.index(name)?;
            let mut message = AddressMessage::default();
            message.header.family = AddressFamily::Inet;
            message.header.prefix_len = address.prefix_len();
            message.header.index = index;
            message.attributes.push(AddressAttribute::Local(IpAddr::V4(address.addr())));
            self.request(NewAddress(message), NLM_F_CREATE | NLM_F_EXCL, call, HELP)?;
            Ok(())
        };
        add().with_context(|| format!("cannot give {name} the address {address}"))
    }
    // ANCHOR_END: add_address

    // ANCHOR: add_default_route
    /// Sends packets for everywhere else to `gateway`, which must be in a network that an interface
    /// is up in. `ip route add default via GATEWAY` does the same.
    ///
    /// # Errors
    ///
    /// ENETUNREACH when `gateway` is in no such network, and EINVAL when it is the broadcast address
    /// of one; EEXIST when there is a default route already; EPERM as for
    /// [`add_address`](Netlink::add_address).
    pub fn add_default_route(&self, gateway: Ipv4Addr) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: AddressFamily::Inet,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        // No destination, of a length of 0 bits: every address begins with that.
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
        let call = || format!("RTM_NEWROUTE(default via {gateway})");
        self.request(NewRoute(message), NLM_F_CREATE | NLM_F_EXCL, call, HELP)
            .context("cannot set the default route")?;
        Ok(())
    }
    // ANCHOR_END: add_default_route

    /// All IPv4 addresses, each with the number of its interface.
    pub(crate) fn addresses(&self) -> Result<Vec<(u32, Ipv4Net)>> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let answers =
            self.request(GetAddress(message), NLM_F_DUMP, || "RTM_GETADDR()".into(), &[])?;
        let address = |answer| {
            let NewAddress(message) = answer else { return None };
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            let address = Ipv4Net::new(local?, message.header.prefix_len).ok()?;
            Some((message.header.index, address))
        };
        Ok(answers.into_iter().filter_map(address).collect())
    }
}

const HELP: Help = &[
    TAKES_CAPABILITY,
    (
        Errno::ENETUNREACH,
        "a gateway must be in a network that is reached without one: that of an interface which is up",
    ),
    (Errno::EINVAL, "a gateway is one host, and this is the address of all hosts in a network"),
];
