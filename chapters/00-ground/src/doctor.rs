//! The examination: probe, never guess, and for every refusal say what it blocks and how to cure
//! it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ch00_ground::cgroup::{self, Hierarchy, Mode, Rights};
use ch00_ground::facts::plain_table;
use ch00_ground::mountinfo::{self, Mount};
use ch00_ground::{capability, namespace, subid};
use nix::sys::utsname::uname;
use nix::unistd::{User, getuid};
use serde::Serialize;

use crate::probe::{self, Answer};

/// The programs that the book's pages call, and the package of each in Debian.
const TOOLS: [(&str, &str); 13] = [
    ("hostname", "hostname"),
    ("ip", "iproute2"),
    ("ipcs", "util-linux"),
    ("lsns", "util-linux"),
    ("mount", "mount"),
    ("newgidmap", "uidmap"),
    ("newuidmap", "uidmap"),
    ("nsenter", "util-linux"),
    ("pgrep", "procps"),
    ("ping", "iputils-ping"),
    ("ps", "procps"),
    ("strace", "strace"),
    ("unshare", "util-linux"),
];

/// The kernel's settings that can forbid a namespace, where this kernel has them.
const SETTINGS: [&str; 10] = [
    "kernel/apparmor_restrict_unprivileged_userns",
    "kernel/unprivileged_userns_clone",
    "user/max_cgroup_namespaces",
    "user/max_ipc_namespaces",
    "user/max_mnt_namespaces",
    "user/max_net_namespaces",
    "user/max_pid_namespaces",
    "user/max_time_namespaces",
    "user/max_user_namespaces",
    "user/max_uts_namespaces",
];

/// All that the doctor found.
#[derive(Serialize)]
pub struct Report {
    kernel: String,
    machine: String,
    uid: u32,
    user: Option<String>,
    capabilities: Vec<&'static str>,
    #[serde(skip)]
    effective: u64,
    /// `none`, `strict` or `filter`: the last is what an outer container has.
    seccomp: &'static str,
    settings: BTreeMap<String, String>,
    namespaces: Vec<Namespace>,
    cgroup_mode: Mode,
    hierarchies: Vec<Place>,
    root_propagation: String,
    overlay: Answer,
    /// `start-end` of each range that `/etc/subuid` and `/etc/subgid` give you.
    subordinate_uids: Vec<String>,
    subordinate_gids: Vec<String>,
    tools: BTreeMap<&'static str, Option<PathBuf>>,
    findings: Vec<Finding>,
}

/// A hierarchy, and what you may do in it.
#[derive(Serialize)]
struct Place {
    #[serde(flatten)]
    hierarchy: Hierarchy,
    #[serde(flatten)]
    rights: Rights,
}

#[derive(Serialize)]
struct Namespace {
    name: &'static str,
    chapter: u8,
    as_you: Answer,
    in_user_namespace: Answer,
}

/// Something that is refused or missing here.
#[derive(Serialize)]
struct Finding {
    what: String,
    /// The chapters that cannot do all of their work, in words.
    blocks: String,
    cure: String,
}

/// Examines this machine, as the calling process sees it.
pub fn examine() -> Result<Report> {
    let system = uname().context("uname()")?;
    let user = User::from_uid(getuid()).ok().flatten().map(|user| user.name);
    let effective = capability::effective()?;
    let mounts = mountinfo::read()?;
    let hierarchies = cgroup::hierarchies(&mounts)?;
    let namespaces = namespace::KINDS.iter().map(|kind| {
        Ok(Namespace {
            name: kind.name,
            chapter: kind.chapter,
            as_you: probe::namespace(kind, false)?,
            in_user_namespace: probe::namespace(kind, true)?,
        })
    });
    let mut report = Report {
        kernel: system.release().display().to_string(),
        machine: system.machine().display().to_string(),
        uid: getuid().as_raw(),
        capabilities: capability::names(effective),
        effective,
        seccomp: seccomp(),
        settings: settings(),
        namespaces: namespaces.collect::<Result<_>>()?,
        cgroup_mode: Mode::of(&hierarchies),
        hierarchies: hierarchies
            .into_iter()
            .map(|hierarchy| Place { rights: hierarchy.rights(), hierarchy })
            .collect(),
        root_propagation: propagation_of_root(&mounts),
        overlay: probe::overlay()?,
        subordinate_uids: subordinate_ids("/etc/subuid"),
        subordinate_gids: subordinate_ids("/etc/subgid"),
        user,
        tools: TOOLS.iter().map(|(name, _)| (*name, find_in_path(name))).collect(),
        findings: Vec::new(),
    };
    report.findings = findings(&report);
    Ok(report)
}

fn seccomp() -> &'static str {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match status.lines().find_map(|line| line.strip_prefix("Seccomp:\t")) {
        Some("2") => "filter",
        Some("1") => "strict",
        _ => "none",
    }
}

fn settings() -> BTreeMap<String, String> {
    let read = |name: &&str| {
        let value = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        Some((name.replace('/', "."), value.trim().to_owned()))
    };
    SETTINGS.iter().filter_map(read).collect()
}

/// Where a mount made here would be seen too: the peer group of `/`. `mount_namespaces(7)`.
fn propagation_of_root(mounts: &[Mount]) -> String {
    let root = mounts.iter().rfind(|mount| mount.mount_point == Path::new("/"));
    let has = |word: &str| {
        root.is_some_and(|root| root.propagation.iter().any(|field| field.starts_with(word)))
    };
    match (has("shared"), has("master"), has("unbindable")) {
        (true, true, _) => "shared and slave",
        (true, false, _) => "shared",
        (false, true, _) => "slave",
        (false, false, true) => "unbindable",
        (false, false, false) => "private",
    }
    .to_owned()
}

/// `start-end` of each range.
fn subordinate_ids(path: &str) -> Vec<String> {
    let text = |(start, count)| format!("{start}-{}", start + (count - 1));
    subid::ranges(path, getuid()).unwrap_or_default().into_iter().map(text).collect()
}

fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn findings(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |what: String, blocks: String, cure: &str| {
        findings.push(Finding { what, blocks, cure: cure.to_owned() });
    };
    let powerful = report.capabilities.contains(&"sys_admin");
    let user = report
        .namespaces
        .iter()
        .find(|namespace| namespace.name == "user")
        .expect("one of the eight");
    let refused = |answer: &Answer| answer.refused.clone().unwrap_or_default();
    // Entering one is not enough: on some systems it succeeds, and writing its maps is what fails.
    // To enter a second one inside takes both.
    let no_user_namespace = !user.in_user_namespace.allowed;
    if no_user_namespace {
        let answer = &user.in_user_namespace;
        find(
            format!("user namespaces: {}", refused(answer)),
            if powerful { "chapters 5, 6 and 10" } else { "chapters 1 to 6 and 10" }.into(),
            answer.help.as_deref().unwrap_or("run as root (sudo), or in a virtual machine"),
        );
    }
    for namespace in &report.namespaces {
        let answer = if powerful { &namespace.as_you } else { &namespace.in_user_namespace };
        if answer.allowed || namespace.name == "user" || (no_user_namespace && !powerful) {
            continue;
        }
        let limit = format!("user.max_{}_namespaces", namespace.name);
        let cure = match answer.errno.as_deref() {
            Some("ENOSPC") => {
                let now = report.settings.get(&limit).map_or("low", String::as_str);
                format!("raise {limit}, which is {now} in this user namespace")
            }
            Some("EINVAL" | "ENOENT") => {
                "this kernel was built without it: use another kernel, or a virtual machine".into()
            }
            _ if report.seccomp == "filter" => {
                "a seccomp filter forbids it, as inside a container: run outside of that container"
                    .into()
            }
            _ => "run as root (sudo), or in a virtual machine".into(),
        };
        // Each of these is one of the flags that later chapters combine.
        let blocks = match namespace.name {
            "uts" => "chapters 1 to 6 and 10".to_owned(),
            "ipc" => "chapters 2 to 6 and 10".to_owned(),
            "pid" => "chapters 3 to 6 and 10".to_owned(),
            "mnt" => "chapters 4 to 6 and 10".to_owned(),
            "time" => "the clocks of chapter 3".to_owned(),
            _ => format!("chapters {} and 10", namespace.chapter),
        };
        find(format!("{} namespace: {}", namespace.name, refused(answer)), blocks, &cure);
    }
    if report.cgroup_mode == Mode::None {
        find(
            "cgroups: no hierarchy is mounted".into(),
            "chapters 7 to 10".into(),
            "mount one: sudo mount -t cgroup2 none /sys/fs/cgroup",
        );
    } else if !report
        .hierarchies
        .iter()
        .any(|place| !place.hierarchy.controllers.is_empty() && place.rights.delegated())
    {
        let cure = match report.cgroup_mode {
            Mode::V2 => {
                "get a delegated subtree: systemd-run --user --scope -p Delegate=yes bash; or run as root (sudo)"
            }
            _ => {
                "run as root (sudo): cgroup v1 controllers cannot safely be given to ordinary users"
            }
        };
        find(
            "cgroups: you may not make any that has a controller".into(),
            "chapters 7 to 9, the limits of 10".into(),
            cure,
        );
    }
    if !report.overlay.allowed && (powerful || !no_user_namespace) {
        let cure = match report.overlay.errno.as_deref() {
            Some("ENODEV") => "load the file system: sudo modprobe overlay",
            _ => "it needs kernel 5.11 or later without root; run as root (sudo) on an older one",
        };
        find(
            format!("overlay: {}", refused(&report.overlay)),
            "the overlay of chapters 4 and 10".into(),
            cure,
        );
    }
    if !powerful && (report.subordinate_uids.is_empty() || report.subordinate_gids.is_empty()) {
        find(
            "id ranges: /etc/subuid and /etc/subgid give you none".into(),
            "the id range of chapter 5, where a single id is mapped instead".into(),
            "take a range that nobody in these files has, as in \
             sudo usermod --add-subuids 200000-265535 --add-subgids 200000-265535 $USER",
        );
    }
    for (name, package) in TOOLS {
        if report.tools[name].is_none() {
            find(
                format!("{name}: not in PATH"),
                "nothing but the transcripts that show it".into(),
                &format!("install the package {package}, as your distribution calls it"),
            );
        }
    }
    findings
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel         {} {}", self.kernel, self.machine)?;
        let user = self.user.as_deref().unwrap_or("a uid without a name");
        writeln!(
            f,
            "you            {user} (uid {}), capabilities: {}",
            self.uid,
            capability::describe(self.effective)
        )?;
        writeln!(f, "seccomp        {}", self.seccomp)?;
        for (name, value) in &self.settings {
            // The limits are many and seldom low.
            if !name.starts_with("user.") || value == "0" {
                writeln!(f, "setting        {name} = {value}")?;
            }
        }
        writeln!(f, "mounts         / is {}", self.root_propagation)?;
        writeln!(f, "overlay        {}", self.overlay.word())?;
        let ranges = |ranges: &[String]| {
            if ranges.is_empty() { "none".to_owned() } else { ranges.join(", ") }
        };
        writeln!(
            f,
            "id ranges      uid {}; gid {}",
            ranges(&self.subordinate_uids),
            ranges(&self.subordinate_gids)
        )?;
        let tools = self.tools.iter().filter(|(_, path)| path.is_some()).map(|(name, _)| *name);
        writeln!(f, "tools          {}\n", tools.collect::<Vec<_>>().join(", "))?;

        let mut table = plain_table(["namespace", "chapter", "as you are", "in a user namespace"]);
        for namespace in &self.namespaces {
            table.add_row([
                namespace.name,
                &namespace.chapter.to_string(),
                namespace.as_you.word(),
                namespace.in_user_namespace.word(),
            ]);
        }
        writeln!(f, "{}\n", table.trim_fmt())?;

        writeln!(f, "cgroups        {}", self.cgroup_mode.word())?;
        if !self.hierarchies.is_empty() {
            let mut table = plain_table([
                "version",
                "controllers",
                "mounted at",
                "your cgroup",
                "yours to change",
            ]);
            for Place { hierarchy, rights } in &self.hierarchies {
                let named = hierarchy.name.iter().map(|name| format!("(name={name})"));
                let controllers: Vec<_> =
                    hierarchy.controllers.iter().cloned().chain(named).collect();
                table.add_row([
                    format!("v{}", hierarchy.version),
                    if controllers.is_empty() { "none".to_owned() } else { controllers.join(" ") },
                    hierarchy.mounted_at.display().to_string(),
                    hierarchy.your_cgroup.display().to_string(),
                    if rights.delegated() { "yes" } else { "no" }.to_owned(),
                ]);
            }
            writeln!(f, "{}", table.trim_fmt())?;
        }

        if self.findings.is_empty() {
            return writeln!(f, "\nEvery chapter can do all of its work here.");
        }
        for finding in &self.findings {
            writeln!(
                f,
                "\n{}\n  blocks: {}\n  cure:   {}",
                finding.what, finding.blocks, finding.cure
            )?;
        }
        Ok(())
    }
}
