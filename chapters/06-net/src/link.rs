//! Interfaces: `RTM_GETLINK`, `RTM_NEWLINK`, `RTM_SETLINK`, `RTM_DELLINK` of `rtnetlink(7)`;
//! `veth(4)`.

use std::fmt::{self, Display};

use anyhow::{Context, Result};
use ch00_ground::refusal::Help;
use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage::{DelLink, GetLink, NewLink, SetLink};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::Netlink;
use crate::netlink::TAKES_CAPABILITY;

/// A network interface, which netlink calls a link.
pub struct Link {
    /// Its name, of at most 15 bytes.
    pub name: String,
    /// Whether it was brought up.
    pub is_up: bool,
    /// Its IPv4 addresses, each with the length of its network's prefix in bits.
    pub addresses: Vec<Ipv4Net>,
}

impl Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, if self.is_up { "up" } else { "down" })?;
        self.addresses.iter().try_for_each(|address| write!(f, " {address}"))
    }
}

impl Netlink {
    /// The interfaces of this network namespace.
    ///
    /// # Errors
    ///
    /// None that the kernel documents for this use.
    pub fn links(&self) -> Result<Vec<Link>> {
        let message = GetLink(LinkMessage::default());
        let answers = self.request(message, NLM_F_DUMP, || "RTM_GETLINK()".into(), &[])?;
        let addresses = self.addresses()?;
        let link = |answer| {
            let NewLink(message) = answer else { return None };
            let of_this = addresses.iter().filter(|(index, _)| *index == message.header.index);
            Some(Link {
                name: name(&message)?.to_owned(),
                is_up: message.header.flags.contains(LinkFlags::Up),
                addresses: of_this.map(|(_, address)| *address).collect(),
            })
        };
        Ok(answers.into_iter().filter_map(link).collect())
    }

    // ANCHOR: set_up
    /// Brings an interface up. `ip link set NAME up` does the same.
    ///
    /// # Errors
    ///
    /// ENODEV when there is no such interface; EPERM without CAP_NET_ADMIN in the user namespace
    /// that owns this network namespace.
    pub fn set_up(&self, name: &str) -> Result<()> {
        let mut message = named(name);
        message.header.flags = LinkFlags::Up;
        // Of all its flags, this one alone is to change. 0 would mean all of them.
        message.header.change_mask = LinkFlags::Up;
        self.request(SetLink(message), 0, || format!("RTM_SETLINK({name:?}, IFF_UP)"), HELP)
            .with_context(|| format!("cannot bring {name} up"))?;
        Ok(())
    }
    // ANCHOR_END: set_up

    // ANCHOR: add_veth
    /// Makes a pair of interfaces, each of which receives what the other sends: `name` here, and
    /// `peer` in the network namespace of process `pid`. `ip link add NAME type veth peer name PEER
    /// netns PID` does the same.
    ///
    /// # Errors
    ///
    /// EEXIST when either name is taken where it is to be; ESRCH when there is no such process, or
    /// it has ended; EINVAL for a name with a blank, `/` or `:` in it, ERANGE for one of more than
    /// 15 bytes; EPERM without CAP_NET_ADMIN over both network namespaces; EOPNOTSUPP when this
    /// kernel has no veth.
    pub fn add_veth(&self, name: &str, peer: &str, pid: Pid) -> Result<()> {
        let mut other_end = named(peer);
        // It is born there: no moment in which somebody could be killed and leave it here.
        other_end.attributes.push(LinkAttribute::NetNsPid(pid.as_raw() as u32));
        let mut message = named(name);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other_end))),
        ]));
        let call = || format!("RTM_NEWLINK({name:?}, {peer:?} in {pid})");
        self.request(NewLink(message), NLM_F_CREATE | NLM_F_EXCL, call, HELP)
            .context("cannot make the cable")?;
        Ok(())
    }
    // ANCHOR_END: add_veth

    /// Removes an interface, and with one end of a veth pair the other.
    ///
    /// # Errors
    ///
    /// As for [`set_up`](Netlink::set_up); EOPNOTSUPP for an interface that is no software, or `lo`.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.request(DelLink(named(name)), 0, || format!("RTM_DELLINK({name:?})"), HELP)
            .with_context(|| format!("cannot remove {name}"))?;
        Ok(())
    }

    /// The number by which most messages name an interface.
    pub(crate) fn index(&self, name: &str) -> Result<u32> {
        let call = || format!("RTM_GETLINK({name:?})");
        let answers = self.request(GetLink(named(name)), 0, call, HELP)?;
        let Some(NewLink(message)) = answers.first() else { return Ok(0) };
        Ok(message.header.index)
    }
}

/// A message about the interface of this name.
fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn name(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

const HELP: Help = &[
    TAKES_CAPABILITY,
    (Errno::EEXIST, "an interface of this name is there already; `ip link` lists them"),
    (Errno::ESRCH, "the process at the other end has ended, and its network namespace with it"),
    (Errno::ERANGE, "the name of an interface has at most 15 bytes"),
    (Errno::EINVAL, "the name of an interface has 1 to 15 bytes, and no blank, `/` or `:`"),
    (Errno::EOPNOTSUPP, "this kernel has no veth (CONFIG_VETH)"),
];
