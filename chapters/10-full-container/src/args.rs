//! The command line.

use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use ch00_ground::refusal::{self, Refusal};
use ch00_ground::{capability, namespace, rootless};
use ch02_ipc::unshare;
use ch04_mount::Volume;
use ch08_cgroup_memory::{seconds, size};
use ch09_cgroup_cpu::{count, cpus, weight};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, ValueEnum};
use ipnet::Ipv4Net;

/// How many processes a container may have that nobody has told.
pub const PIDS: u64 = 2048;

/// Runs a command in a container.
#[derive(Parser)]
#[command(version)]
pub struct Args {
    /// The folder with the root file system; without it, the programs and settings of this machine.
    #[arg(long, value_name = "FOLDER")]
    pub rootfs: Option<PathBuf>,
    /// Keep what is written to the root file system in this folder, and go on with what is there.
    /// [default: in memory, and forgotten at the end]
    #[arg(long, value_name = "FOLDER", conflicts_with = "read_only")]
    pub keep: Option<PathBuf>,
    /// Let nothing be written to the root file system.
    #[arg(long)]
    pub read_only: bool,
    /// Mount a file or folder of the machine inside; with `:ro`, read-only. What is root's outside is
    /// nobody's inside.
    #[arg(long = "volume", value_name = "HOST:INSIDE[:ro]")]
    pub volumes: Vec<Volume>,
    /// The host name inside.
    #[arg(long, value_name = "NAME", default_value = "box")]
    pub hostname: String,
    /// Which network it has.
    #[arg(long, value_enum, default_value_t = Network::None)]
    pub network: Network,
    /// The address of the cable's end inside, with the length of its network's prefix. [default:
    /// 10.77.0.2/24]
    #[arg(long, value_name = "IP/BITS")]
    pub address: Option<Ipv4Net>,
    /// The address of the end outside, and so the gateway of the inside. [default: 10.77.0.1]
    #[arg(long, value_name = "IP")]
    pub gateway: Option<Ipv4Addr>,
    /// How much memory it may have, with k, M, G or T for 1024, its square, and so on.
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub memory: Option<u64>,
    /// How much processor time at most, in processors.
    #[arg(long, value_name = "NUMBER", value_parser = cpus)]
    pub cpus: Option<f64>,
    /// How much processor time beside others, when there is not enough for all: 1 to 10000.
    #[arg(long, value_name = "WEIGHT", value_parser = weight)]
    pub cpu_weight: Option<u64>,
    /// How many processes it may have at a time. [default: 2048]
    #[arg(long, value_name = "COUNT", value_parser = count, allow_negative_numbers = true)]
    pub pids_limit: Option<u64>,
    /// A variable of its environment; without a value, with that which it has here.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = OsStringValueParser::new().try_map(variable))]
    pub variables: Vec<OsString>,
    /// The folder inside in which the command begins.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    pub workdir: PathBuf,
    /// Who the command is inside, by name or number: a user, or `user:group`. [default: root]
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Print each step as it is made: its chapter, what it took, and by which call.
    #[arg(long)]
    pub explain: bool,
    /// Leave one ingredient out, and see what gets through.
    #[arg(long, value_enum, value_name = "INGREDIENT")]
    pub without: Vec<Ingredient>,
    /// The wrong order: set the limits when the command has run for so long.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub late: Option<Duration>,
    /// Do not say what had to be left out.
    #[arg(long)]
    pub quiet: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, default_value = "/bin/sh")]
    pub command: Vec<OsString>,
}

/// What is in the network namespace of a container besides `lo`.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Network {
    /// Nothing.
    None,
    /// One end of a cable, the other end of which is outside.
    Veth,
    /// All that this machine has: no network namespace.
    Host,
}

/// What a container can be made without, to see what it is good for.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Ingredient {
    /// Ids of its own: root inside is root outside (for root, and over the settings of the kernel).
    UserNamespace,
    /// Mounts that show nowhere else.
    MountPrivacy,
    /// The change of the root; chroot takes its place.
    PivotRoot,
    /// No descriptors but stdin, stdout and stderr.
    ClosedDescriptors,
}

impl Args {
    /// Refuses what does not go together, and enters what must be around the container.
    pub fn prepare(&self) -> anyhow::Result<()> {
        let is_root = capability::holds(capability::effective()?, "sys_admin");
        for (ingredient, what) in [
            (Ingredient::UserNamespace, "the user namespace"),
            (Ingredient::MountPrivacy, "the privacy of its mounts"),
        ] {
            if !self.has(ingredient) && !is_root {
                return Err(Refusal::ours(format!("cannot leave out {what}"))
                    .with_help("it is what lets you make a container; as root you can")
                    .into());
            }
        }
        if self.network != Network::Veth {
            if self.address.is_some() || self.gateway.is_some() {
                let refusal = Refusal::ours("without a cable there are no addresses".into());
                return Err(refusal.with_help("add --network veth").into());
            }
            return Ok(());
        }
        let (address, gateway) = self.addresses();
        if !address.contains(&gateway) {
            return Err(Refusal::ours(format!("{gateway} is not in the network of {address}"))
                .with_help(
                    "the two ends of a cable are in one network, as 10.0.0.1 and 10.0.0.2/24",
                )
                .into());
        }
        if !is_root {
            // The other end of the cable must be in a network that is ours too.
            rootless::enter(true)?;
            unshare(namespace::flags(&["net"]))?;
            self.notice(&format!(
                "users other than you, and the machine's network: not root, \
                 the cable ends in that of process {}",
                std::process::id()
            ));
        }
        Ok(())
    }

    /// Of the end of the cable that is inside, and of the other one.
    pub fn addresses(&self) -> (Ipv4Net, Ipv4Addr) {
        let inside = Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 2), 24);
        let outside = Ipv4Addr::new(10, 77, 0, 1);
        (self.address.unwrap_or(inside), self.gateway.unwrap_or(outside))
    }

    /// Whether the container is to have this.
    pub fn has(&self, ingredient: Ingredient) -> bool {
        !self.without.contains(&ingredient)
    }

    /// The namespaces that it is not to have.
    pub fn shared(&self) -> Vec<&'static str> {
        let net = (self.network == Network::Host).then_some("net");
        let user = (!self.has(Ingredient::UserNamespace)).then_some("user");
        net.into_iter().chain(user).collect()
    }

    /// Whether the caller wants limits, and not merely takes those that can be had.
    pub fn asks_for_limits(&self) -> bool {
        self.memory.is_some()
            || self.cpus.is_some()
            || self.cpu_weight.is_some()
            || self.pids_limit.is_some()
    }

    /// Says what had to be left out.
    pub fn notice(&self, what: &str) {
        if !self.quiet {
            refusal::say(&format!("left out: {what}"));
        }
    }

    /// The whole environment of the command: that of the caller may hold secrets.
    pub fn environment(&self, home: Option<String>) -> Vec<(OsString, OsString)> {
        let home = home.unwrap_or_else(|| if self.user.is_some() { "/" } else { "/root" }.into());
        let mut variables: Vec<(OsString, OsString)> =
            vec![("PATH".into(), PATH.into()), ("HOME".into(), home.into())];
        let given = self.variables.iter().map(OsString::as_os_str);
        for variable in given.chain([OsStr::new("TERM")]) {
            let mut parts = variable.as_bytes().splitn(2, |byte| *byte == b'=');
            let name = OsStr::from_bytes(parts.next().unwrap_or_default());
            let value = parts.next().map(|value| OsStr::from_bytes(value).to_owned());
            let is_new = variable != "TERM" || !variables.iter().any(|(known, _)| known == "TERM");
            let value = value.or_else(|| std::env::var_os(name)).filter(|_| is_new);
            variables.extend(value.map(|value| (name.to_owned(), value)));
        }
        variables
    }
}

/// Where programs are looked for inside.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Refuses a variable without a name.
fn variable(text: OsString) -> Result<OsString, &'static str> {
    match text.as_bytes() {
        [] | [b'=', ..] => Err("a variable is NAME=VALUE or NAME"),
        _ => Ok(text),
    }
}
