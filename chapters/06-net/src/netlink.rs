//! The socket over which the kernel's network is read and changed: `netlink(7)`, `rtnetlink(7)`.

use std::io;

use anyhow::{Context, Result};
use ch00_ground::refusal::{Help, Refused};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

// ANCHOR: netlink
/// A netlink socket of the family NETLINK_ROUTE. Like any socket, it belongs for life to the network
/// namespace in which it was made.
pub struct Netlink(Socket);

impl Netlink {
    /// Opens a socket in the network namespace that the calling process is in now.
    ///
    /// # Errors
    ///
    /// Of `socket`: EMFILE and ENFILE with too many open files.
    pub fn open() -> Result<Netlink> {
        let socket = Socket::new(NETLINK_ROUTE).refused(|| "socket(AF_NETLINK)".into(), &[])?;
        Ok(Netlink(socket))
    }

    /// Sends `message`, and reads what the kernel answers until its last word: an acknowledgement,
    /// an errno, or the end of a list.
    pub(crate) fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        call: impl Fn() -> String,
        help: Help,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        // Port 0 is the kernel.
        self.0.send_to(&bytes, &SocketAddr::new(0, 0), 0).refused(&call, help)?;

        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.0.recv_from_full().refused(&call, help)?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let answer = NetlinkMessage::deserialize(rest)
                    .with_context(|| format!("{}: the kernel's answer is not readable", call()))?;
                // Each begins at a multiple of 4 bytes.
                let length = answer.header.length.next_multiple_of(4) as usize;
                rest = rest.get(length..).unwrap_or_default();
                let code = match answer.payload {
                    NetlinkPayload::InnerMessage(message) => {
                        answers.push(message);
                        continue;
                    }
                    // An error of 0 is the acknowledgement.
                    NetlinkPayload::Error(error) => error.raw_code(),
                    NetlinkPayload::Done(done) => done.code,
                    _ => continue,
                };
                return match code {
                    0.. => Ok(answers),
                    errno => Err(io::Error::from_raw_os_error(-errno)).refused(call, help),
                };
            }
        }
    }
}
// ANCHOR_END: netlink

/// What helps when a change of the network is refused, by whichever message.
pub(crate) const TAKES_CAPABILITY: (Errno, &str) = (
    Errno::EPERM,
    "this network namespace belongs to a user namespace in which you have no CAP_NET_ADMIN; \
     make one of your own first: unshare --net",
);
