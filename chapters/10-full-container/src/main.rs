//! A container: nine chapters, in order.

// Before `main`, Rust gets ready for threads, and for a stack that overflows, whose end it looks for
// in /proc/self/maps. This program has no thread, and that would be a twentieth of its time.
#![cfg_attr(not(test), no_main)]

mod args;
mod steps;

use std::convert::Infallible;
use std::ffi::c_int;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ch00_ground::refusal::is_one_of;
use ch00_ground::{namespace, refusal};
use ch01_uts::{Child, exec_with, set_hostname, spawn};
use ch03_pid::{Terminal, become_init, leave_session};
use ch04_mount::{
    Attribute, Layer, Root, Stage, Tree, Volume, close_inherited, let_go, make_private,
    reset_umask, work_in,
};
use ch05_user::{
    Gate, Maps, USUAL, become_user, give_pipes, idmap, keep_only, leave_keyring, no_new_privileges,
};
use ch06_net::{Cable, Netlink, bind_sys, mount_sys};
use ch07_cgroup_hierarchy::{Group, is_not_given};
use ch08_cgroup_memory::Memory;
use ch09_cgroup_cpu::{Cpu, Pids, spawn_in};
use clap::Parser;
use ipnet::Ipv4Net;

use args::{Args, Ingredient, Network};
use steps::Steps;

/// What the C library calls.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main() -> c_int {
    let status = refusal::status_of(|| {
        let args = Args::parse();
        args.prepare()?;
        // What gets out for want of privacy goes no further than here.
        let stage = (!args.has(Ingredient::MountPrivacy)).then(Stage::enter).transpose()?;
        let status = run(&args);
        stage.map_or(Ok(()), |stage| stage.tell())?;
        status
    });
    status.into()
}

// ANCHOR: outside
/// What is done outside.
fn run(args: &Args) -> Result<u8> {
    let steps = Steps::begin(args.explain);
    if args.has(Ingredient::ClosedDescriptors) {
        steps.step(4, "close what is inherited", "close_range", close_inherited)?;
    }
    leave_keys(args)?;
    let _claim = args.keep.as_deref().map(Layer::claim).transpose()?;
    let maps = steps.step(5, "choose its ids", "read(/etc/subuid)", || choose_ids(args))?;
    // A limit must hold before there is a process that it could be too late for.
    let group = steps.step(7, "make its cgroup", "mkdir", || make_group(args))?;
    // Root's folders are taken here: only out here can their owners be mapped.
    let take = |path: &Path| steps.step(4, "take a folder", "open_tree", || Tree::of_folder(path));
    let trees = maps.are_privileged().then(|| Trees::take(args, take)).transpose()?;
    let gate = Gate::new()?;
    let terminal = Terminal::new()?;
    // All at once. The new user namespace owns the others, and the child was never outside of its
    // cgroup.
    let child = steps.step(9, "start PID 1", "clone3", || {
        start(args, group.as_ref(), || {
            inside(args, steps.inside(), &maps, trees.as_ref(), &gate, &terminal)
        })
    })?;
    // Meanwhile the child waits at the gate.
    let cable = match equip(args, steps, &maps, trees.as_ref(), &child) {
        Ok(cable) => cable,
        Err(error) => return Err(child.give_up(error)),
    };
    gate.open()?;
    let status = wait(args, terminal, child, group.as_ref())?;
    // The container is gone, and takes all that it had along, but for these.
    drop(cable);
    if let Some(group) = group {
        steps.step(7, "remove its cgroup", "rmdir", || {
            drop(group);
            Ok(())
        })?;
    }
    Ok(status)
}

/// What only the outside may do.
fn equip(
    args: &Args,
    steps: Steps,
    maps: &Maps,
    trees: Option<&Trees>,
    child: &Child,
) -> Result<Option<Cable>> {
    if args.has(Ingredient::UserNamespace) {
        steps.step(5, "map its ids", "write(uid_map)", || maps.write(child.pid()))?;
        trees.map_or(Ok(()), |trees| trees.idmap(args, steps, child))?;
        if let Some((user, group)) = maps.root().filter(|_| maps.are_privileged()) {
            give_pipes(user, group)?;
        }
    }
    let cable = || steps.step(6, "lay a cable", "RTM_NEWLINK", || lay_cable(args, child));
    (args.network == Network::Veth).then(cable).transpose()
}
// ANCHOR_END: outside

// ANCHOR: inside
/// What is done inside, by PID 1 and then by its child, which becomes the command.
fn inside(
    args: &Args,
    steps: Steps,
    maps: &Maps,
    trees: Option<&Trees>,
    gate: &Gate,
    terminal: &Terminal,
) -> Result<Infallible> {
    // What takes no ids is done while the parent maps them.
    reset_umask();
    // Keys that are pressed outside are the parent's to pass on.
    leave_session()?;
    steps.step(1, "set the host name", "sethostname", || set_hostname(&args.hostname))?;
    if args.network != Network::Host {
        steps.step(6, "bring lo up", "RTM_SETLINK", || Netlink::open()?.set_up("lo"))?;
    }
    if args.has(Ingredient::MountPrivacy) {
        // Before the first mount: it would show outside.
        steps.step(4, "make mounts private", "mount(MS_PRIVATE)", make_private)?;
    }
    gate.pass()?;
    if args.has(Ingredient::UserNamespace) {
        // Before anything is made: who has no id can own nothing.
        steps.step(5, "become root", "setresuid", || maps.become_root(gate))?;
    }
    if args.network == Network::Veth {
        steps.step(6, "take its end", "RTM_NEWADDR", || take_end(args))?;
    }
    // A volume's path begins at the old root, so it is taken before a new one lies on top.
    let volumes: Vec<_> = args.volumes.iter().map(Volume::bind).collect::<Result<_>>()?;
    let root = steps.step(4, "lay a layer on its root", "fsmount", || root(args, trees))?;
    // While the old /proc and /sys can be seen: without them, a user namespace gets no new ones.
    steps.step(4, "mount /proc and /dev", "fsmount", || root.populate())?;
    steps.step(6, "mount /sys", "fsmount", || mount_sys_of(args.network, &root))?;
    volumes.iter().try_for_each(|volume| volume.attach(&root))?;
    if args.read_only {
        root.seal()?;
    }
    if args.has(Ingredient::ClosedDescriptors) {
        // From here on paths are walked in the new root, and its links may lead anywhere.
        steps.step(4, "let go of what is open", "dup3", || let_go(&root))?;
    }
    match args.has(Ingredient::PivotRoot) {
        true => steps.step(4, "change the root", "pivot_root", || root.pivot())?,
        false => root.chroot()?,
    }
    // After the last mount: who cannot mount any more cannot undo one.
    steps.step(5, "give up capabilities", "capset", || keep_only(&USUAL))?;
    steps.step(5, "and ways back to them", "prctl(NO_NEW_PRIVS)", no_new_privileges)?;
    // From here on there are two: the init stays, and its child goes on.
    steps.last(3, "leave an init behind", "clone");
    become_init(|| {
        let home = match &args.user {
            Some(user) => steps.step(5, "become the user", "setresuid", || become_user(user))?,
            None => None,
        };
        // Last, since the terminal is made in the new /dev, and belongs to the user.
        steps.step(3, "begin a session", "setsid", || terminal.enter())?;
        work_in(&args.workdir)?;
        steps.last(1, "become the command", "execve");
        exec_with(&args.environment(home), &args.command)
    })
}
// ANCHOR_END: inside

/// Nothing of the caller's keys; but each user has a number of keyrings and no more.
fn leave_keys(args: &Args) -> Result<()> {
    match leave_keyring() {
        Err(error) if is_one_of(&error, &["EDQUOT", "ENOSYS"]) => {
            args.notice(&format!("a keyring of its own: {error:#}"));
            Ok(())
        }
        answer => answer,
    }
}

/// As many ids as are to be had.
fn choose_ids(args: &Args) -> Result<Maps> {
    let maps = Maps::choose()?;
    if maps.are_own_id_alone() && args.network != Network::Veth {
        args.notice("users other than you: /etc/subuid sets none aside for you (chapter 5)");
    }
    Ok(maps)
}

/// The cgroup, with its limits. None if nobody has asked for any, and none can be had.
fn make_group(args: &Args) -> Result<Option<Group>> {
    let cpu = Cpu { quota: args.cpus, weight: args.cpu_weight };
    let mut controllers = vec!["pids"];
    controllers.extend(args.memory.map(|_| "memory"));
    controllers.extend((args.cpus.is_some() || args.cpu_weight.is_some()).then_some("cpu"));
    let mut group = match Group::create("ch10", &controllers) {
        Err(error) if !args.asks_for_limits() && is_not_given(&error) => {
            args.notice(&format!("no cgroup, and so no limit on processes: {error:#}"));
            return Ok(None);
        }
        group => group?,
    };
    Pids { max: args.pids_limit.unwrap_or(args::PIDS) }.limit(&group)?;
    if let Some(max) = args.memory {
        let memory = Memory { max, max_with_swap: max, high: None, oom_group: false };
        memory.limit(&group)?;
    }
    cpu.limit(&group)?;
    group.enclose("ch10")?;
    Ok(Some(group))
}

/// PID 1, in the cgroup from its first moment.
fn start(
    args: &Args,
    group: Option<&Group>,
    body: impl FnOnce() -> Result<Infallible>,
) -> Result<Child> {
    let flags = namespace::all_but(&args.shared());
    match group {
        Some(group) if args.late.is_none() => spawn_in(group, flags, body),
        _ => spawn(flags, body),
    }
}

/// What a kernel says that cannot do it, or not with this file system.
const UNSUPPORTED: &[&str] = &["EINVAL", "ENODEV", "ENOSYS", "EPERM"];

/// The folders that a container is made of.
struct Trees {
    rootfs: Option<Tree>,
    keep: Option<Tree>,
}

impl Trees {
    fn take(args: &Args, take: impl Fn(&Path) -> Result<Tree>) -> Result<Trees> {
        let take = |path: &Option<PathBuf>| path.as_deref().map(&take).transpose();
        Ok(Trees { rootfs: take(&args.rootfs)?, keep: take(&args.keep)? })
    }

    fn idmap(&self, args: &Args, steps: Steps, child: &Child) -> Result<()> {
        let map = |tree: &Option<Tree>| match tree {
            Some(tree) => {
                steps.step(5, "map its owners", "mount_setattr", || idmap(tree, child.pid()))
            }
            None => Ok(()),
        };
        match map(&self.rootfs) {
            Err(error) if is_one_of(&error, UNSUPPORTED) => {
                args.notice(&format!("the owners of the root file system: {error:#}"));
            }
            answer => answer?,
        }
        map(&self.keep)
    }
}

fn root(args: &Args, trees: Option<&Trees>) -> Result<Root> {
    // Both at once: with a layer on top, their paths may lead elsewhere.
    let own;
    let trees = match trees {
        Some(trees) => trees,
        None => {
            own = Trees::take(args, Tree::of_folder)?;
            &own
        }
    };
    if !args.read_only {
        let layer = match &trees.keep {
            Some(tree) => Layer::on(tree)?,
            None => Layer::in_memory()?,
        };
        let overlay = match &trees.rootfs {
            Some(tree) => Root::overlay_under(&layer, tree),
            None => Root::overlay_of_host(&layer),
        };
        match overlay {
            Err(error) if args.keep.is_none() && is_one_of(&error, UNSUPPORTED) => {
                args.notice(&format!("the root file system is read-only: {error:#}"));
            }
            root => return root,
        }
    }
    match &trees.rootfs {
        Some(tree) => {
            tree.restrict(&[Attribute::ReadOnly])?;
            Root::of_tree(tree.try_clone()?)
        }
        None => Root::of_host(),
    }
}

fn mount_sys_of(network: Network, root: &Root) -> Result<()> {
    if network == Network::Host { bind_sys(root) } else { mount_sys(root) }
}

fn take_end(args: &Args) -> Result<()> {
    let (address, gateway) = args.addresses();
    Cable::take_end(address, gateway)
}

fn lay_cable(args: &Args, child: &Child) -> Result<Cable> {
    let (address, gateway) = args.addresses();
    let address = Ipv4Net::new(gateway, address.prefix_len())?;
    Cable::lay(&format!("veth{}", child.pid()), child.pid(), address)
}

fn wait(args: &Args, terminal: Terminal, mut child: Child, group: Option<&Group>) -> Result<u8> {
    // The wrong order, to show what comes of it.
    if let (Some(time), Some(group)) = (args.late, group) {
        while !child.has_begun() {
            if let Some(status) = child.wait_beside(&[], None::<u8>.into())? {
                return Ok(status);
            }
        }
        if let Some(status) = child.wait_beside(&[], time.try_into()?)? {
            return Ok(status);
        }
        group.cgroups().try_for_each(|cgroup| cgroup.add(child.pid()))?;
    }
    terminal.wait(child)
}
