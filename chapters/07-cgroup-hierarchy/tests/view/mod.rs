//! The claims about what is shown: the folders, `/proc` and libcgroup's tools are the witnesses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use harness::program::eventually;
use harness::{Claim, Output, Role, Running, claim};

const PROGRAM: &str = "ch07-cgroup-hierarchy";

pub fn claims() -> Vec<Claim> {
    let lssubsys: &[&str] = &["v1", "userns", "lssubsys"];
    vec![
        claim!(lssubsys_agrees_with_libcgroup).needs(lssubsys),
        claim!(lssubsys_agrees_on_what_is_attached_to_none).needs(lssubsys),
        claim!(lssubsys_says_what_the_kernel_says),
        claim!(lscgroup_agrees_with_libcgroup).needs(&["lscgroup"]),
        claim!(lscgroup_lists_every_folder),
        claim!(lscgroup_lists_what_is_below_a_path).only(Role::Root),
        claim!(draw_shows_a_process_in_its_cgroup).only(Role::Root),
        claim!(draw_shows_your_own_place),
        claim!(draw_counts_what_it_folds).only(Role::Root),
        claim!(draw_shows_threads).only(Role::Root).needs(&["cgroup2"]),
        claim!(the_picture_is_well_formed).only(Role::Root),
        claim!(the_picture_is_saved_whole_or_not_at_all).needs(&["userns"]),
        claim!(the_picture_goes_through_a_link_and_a_pipe),
        claim!(whereis_finds_a_process_and_its_limits).only(Role::Root),
        claim!(whereis_finds_itself),
        claim!(what_is_not_there_is_refused),
        claim!(without_proc_it_says_so).needs(&["userns"]),
        claim!(without_a_hierarchy_it_says_so).only(Role::Root),
    ]
}

/// The cgroup file systems: the version, the options, the mount point.
fn mounts() -> Vec<(u8, Vec<String>, PathBuf)> {
    let text = fs::read_to_string("/proc/mounts").unwrap();
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter(|words| words[2].starts_with("cgroup"))
        .map(|words| {
            let options = words[3].split(',').map(ToOwned::to_owned).collect();
            (if words[2] == "cgroup2" { 2 } else { 1 }, options, words[1].into())
        })
        .collect()
}

/// A fresh cgroup in v2, or in v1's hierarchy of pids; removed at the end.
struct Fresh {
    version: u8,
    folder: PathBuf,
    name: String,
}

impl Fresh {
    /// In the other, where this version is not there.
    fn new(version: u8) -> Fresh {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let mounts = mounts();
        let is_it = |version| {
            mounts.iter().find(|mount| match version {
                2 => mount.0 == 2,
                _ => mount.1.iter().any(|option| option == "pids"),
            })
        };
        let mount = is_it(version).or_else(|| is_it(3 - version)).expect("one or the other");
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("view-{}-{number}", std::process::id());
        let folder = mount.2.join(&name);
        fs::create_dir(&folder).unwrap();
        Fresh { version: mount.0, folder, name }
    }

    /// It, as an argument.
    fn spec(&self) -> String {
        format!("{}:{}", if self.version == 2 { "cgroup2" } else { "pids" }, self.name)
    }

    fn with(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Whom a test has forgotten takes a moment to go.
        eventually("the cgroup can be removed", || remove(&self.folder));
    }
}

fn remove(folder: &Path) -> bool {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        _ = entry.path().is_dir() && remove(&entry.path());
    }
    fs::remove_dir(folder).is_ok()
}

/// A process that sleeps in a cgroup.
fn sleeper(role: Role, folder: &Path) -> Running {
    let running = role.start("sleep", &["60"]);
    fs::write(folder.join("cgroup.procs"), running.pid().to_string()).unwrap();
    running
}

fn stdout(role: Role, args: &[&str]) -> String {
    let output = role.run(PROGRAM, args);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{args:?}");
    output.stdout
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// The first and the last `columns` of ours, in its form with a header, as libcgroup has them.
fn without_header(table: &str, mounts: bool) -> BTreeSet<String> {
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.map(|row| match row.last() {
        Some(path) if mounts && *path != "-" => format!("{} {path}", row[0]),
        _ => row[0].to_owned(),
    })
    .collect()
}

/// What both print, where v2 is out of sight, for libcgroup's knows no hybrid; and where only those
/// in `subsystems` are in `/proc/cgroups`: libcgroup's ends at the first that is attached to none.
fn both(role: Role, subsystems: &str, options: &str) -> (Output, Output) {
    let hide = r#"set -e
        mount -t tmpfs none /mnt
        awk "$1" /proc/cgroups > /mnt/cgroups
        mount --bind /mnt/cgroups /proc/cgroups
        awk '$3 == "cgroup2" { print $2 }' /proc/mounts | while read -r v2; do
            mount -t tmpfs none "$v2"
            touch "$v2/cgroup.controllers"
        done
        shift
        exec "$@""#;
    let run = |program: &[&str]| {
        let mut args = vec!["-Urm", "sh", "-c", hide, "sh", subsystems];
        args.extend(program);
        args.extend(options.split_whitespace());
        role.run("unshare", &args)
    };
    (run(&["lssubsys"]), run(&[PROGRAM, "lssubsys"]))
}

fn lssubsys_agrees_with_libcgroup(role: Role) {
    let _machine = crate::MACHINE.lock();
    for options in ["", "-a", "-m", "-am", "--all --mount-points"] {
        let (theirs, ours) = both(role, r#"/^#/ || $2 > 0"#, options);
        assert_eq!((theirs.status, ours.status), (0, 0), "{options}: {theirs:?} {ours:?}");
        assert_ne!(theirs.stdout, "");
        let ours = match options {
            "" | "-m" => lines(&ours.stdout),
            "-a" => without_header(&ours.stdout, false),
            _ => without_header(&ours.stdout, true),
        };
        assert_eq!(lines(&theirs.stdout), ours, "{options}");
    }
}

fn lssubsys_agrees_on_what_is_attached_to_none(role: Role) {
    let _machine = crate::MACHINE.lock();
    // Which libcgroup's still prints before it ends.
    let (theirs, ours) = both(role, r#"/^#/ || $2 == 0"#, "-a");
    let kernel = fs::read_to_string("/proc/cgroups").unwrap();
    let free = kernel.lines().filter(|line| line.split('\t').nth(1) == Some("0"));
    let free: BTreeSet<_> = free.map(|line| line.split('\t').next().unwrap().to_owned()).collect();
    assert_eq!(lines(&theirs.stdout), free);
    assert_eq!(without_header(&ours.stdout, false), free);
}

fn lssubsys_says_what_the_kernel_says(role: Role) {
    let _machine = crate::MACHINE.lock();
    let kernel = || fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let v2 = mounts().into_iter().find(|mount| mount.0 == 2).map(|mount| mount.2);
    let in_v2 = v2
        .as_ref()
        .map_or(String::new(), |root| fs::read_to_string(root.join("cgroup.controllers")).unwrap());
    // Others make cgroups meanwhile.
    eventually("lssubsys agrees with /proc/cgroups", || {
        let table = stdout(role, &["lssubsys", "-am"]);
        let rows: Vec<Vec<_>> =
            table.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
        let row = |name: &str| rows.iter().find(|row| row[0].split(',').any(|word| word == name));
        let v1 = kernel().lines().skip(1).all(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            let row =
                row(fields[0]).or_else(|| row("io").filter(|_| fields[0] == "blkio")).unwrap();
            let enabled = if fields[3] == "1" { "yes" } else { "no" };
            fields[1] == "0" && ["-", "0"].contains(&row[1])
                || row[1..4] == [fields[1], fields[2], enabled]
        });
        let v2 = in_v2.split_whitespace().all(|name| {
            let row = row(name).unwrap();
            row[0].split(',').eq(in_v2.split_whitespace())
                && row[1] == "0"
                && Some(Path::new(row[4])) == v2.as_deref()
        });
        v1 && v2
    });
}

fn lscgroup_agrees_with_libcgroup(role: Role) {
    let _machine = crate::MACHINE.lock();
    let attached = mounts().into_iter().filter(|mount| mount.0 == 1).flat_map(|mount| mount.1);
    let known = ["cpu", "memory", "pids", "freezer"];
    let controllers = attached.filter(|option| known.contains(&option.as_str()));
    let mut wanted = vec![vec![]];
    wanted.extend(controllers.map(|controller| vec![format!("{controller}:/")]));
    let two: Vec<_> = wanted[1..].iter().take(2).flatten().cloned().collect();
    wanted.push(two);
    for args in wanted {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut ours_args = vec!["lscgroup"];
        ours_args.extend(&args);
        // It does not know those without a controller.
        let is_theirs = |line: &String| !line.starts_with("name=") && !line.starts_with("cgroup2:");
        eventually("lscgroup agrees with libcgroup's", || {
            let theirs = role.run("lscgroup", &args);
            assert_eq!(theirs.status, 0, "{theirs:?}");
            let ours = lines(&stdout(role, &ours_args)).into_iter().filter(is_theirs);
            !theirs.stdout.is_empty() && ours.collect::<BTreeSet<_>>() == lines(&theirs.stdout)
        });
    }
}

fn lscgroup_lists_every_folder(role: Role) {
    let _fresh = (role == Role::Root).then(|| (Fresh::new(1), Fresh::new(2)));
    eventually("every folder is in the list", || {
        let mut folders: Vec<String> = Vec::new();
        for (_, _, root) in mounts() {
            let found =
                role.run("find", &[root.to_str().unwrap(), "-type", "d", "-printf", "/%P\\n"]);
            folders.extend(found.stdout.lines().map(ToOwned::to_owned));
        }
        let list = stdout(role, &["lscgroup"]);
        let mut paths: Vec<_> = list
            .lines()
            .map(|line| line.split_once(":/").unwrap().1)
            .map(|p| format!("/{p}"))
            .collect();
        folders.sort();
        paths.sort();
        folders == paths
    });
}

fn lscgroup_lists_what_is_below_a_path(role: Role) {
    let fresh = Fresh::new(2);
    fresh.with("a/b");
    fresh.with("c");
    let list = stdout(role, &["lscgroup"]);
    let line = list.lines().find(|line| line.ends_with(&fresh.name)).unwrap();
    let (word, _) = line.split_once(':').unwrap();
    let expected = ["", "/a", "/a/b", "/c"].map(|below| format!("{word}:/{}{below}\n", fresh.name));
    assert_eq!(stdout(role, &["lscgroup", line]), expected.concat());
    assert_eq!(stdout(role, &["lscgroup", &format!("{line}/a/")]), expected[1..3].concat());
    // The path is from the root, with and without a slash at its head.
    let relative = format!("{word}:{}/c", fresh.name);
    assert_eq!(stdout(role, &["lscgroup", &relative]), expected[3]);
    if fresh.version == 2 {
        assert_eq!(
            stdout(role, &["lscgroup", &format!("cgroup2:{}", fresh.name)]),
            expected.concat()
        );
    }
}

fn draw_shows_a_process_in_its_cgroup(role: Role) {
    for version in [1, 2] {
        let fresh = Fresh::new(version);
        let inner = fresh.with("inner");
        let running = sleeper(role, &inner);
        let drawn = stdout(role, &["draw", &fresh.spec()]);
        assert_eq!(drawn.lines().filter(|line| line.contains(&fresh.name)).count(), 1, "{drawn}");
        let lines: Vec<_> =
            drawn.lines().skip_while(|line| !line.contains(&fresh.name)).take(2).collect();
        assert!(lines[0].contains(&format!("{}  0 processes", fresh.name)), "{drawn}");
        let expected = format!("└── inner  1 process: {} sleep", running.pid());
        assert!(lines[1].contains(&expected), "{drawn}");
        let column = |line: &str, what| line.split(what).next().unwrap().chars().count();
        assert_eq!(column(lines[1], "└"), column(lines[0], &fresh.name), "{drawn}");
    }
}

fn draw_shows_your_own_place(role: Role) {
    let _machine = crate::MACHINE.lock();
    let drawn = stdout(role, &[]);
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    for (version, options, root) in mounts() {
        let heading = format!(": v{version}, mounted at {}", root.display());
        let tree =
            drawn.split("\n\n").find(|tree| tree.lines().next().unwrap().ends_with(&heading));
        let tree = tree.unwrap_or_else(|| panic!("{heading} in {drawn}"));
        let own = own.lines().find_map(|line| {
            let fields: Vec<_> = line.splitn(3, ':').collect();
            let is_it = match version {
                2 => fields[0] == "0",
                _ => fields[1].split(',').all(|word| options.iter().any(|option| option == word)),
            };
            is_it.then(|| fields[2].rsplit('/').next().unwrap())
        });
        let name = own.filter(|name| !name.is_empty()).unwrap_or("/");
        let yours: Vec<_> = tree.lines().filter(|line| line.ends_with("(yours)")).collect();
        assert_eq!(yours.len(), 1, "{tree}");
        assert!(yours[0].contains(&format!("{name}  ")), "{tree}");
    }
}

fn draw_counts_what_it_folds(role: Role) {
    let fresh = Fresh::new(2);
    for one in 0..20 {
        for other in 0..10 {
            fresh.with(&format!("wide{one}/{other}"));
        }
    }
    let deep = fresh.with("deep/1/2/3/4/5/6/7/8");
    let running: Vec<_> = (0..3).map(|_| sleeper(role, &deep)).collect();
    let drawn = stdout(role, &["draw", &fresh.spec()]);
    assert!(drawn.ends_with("draw CONTROLLER:PATH` begins further up in a tree.\n"), "{drawn}");
    let (tree, _) = drawn.split_once("\n\n").unwrap();
    let lines: Vec<_> = tree.lines().skip(1).collect();
    assert!(lines.len() < 100, "a screen or two: {tree}");
    // The way that leads to processes is kept, and cut where it is too deep.
    let deep: Vec<_> = lines.iter().skip_while(|line| !line.contains("deep  ")).collect();
    assert!(deep[6].ends_with("… 3 cgroups, 3 processes"), "{tree}");
    // What is drawn and what is folded is all that there is.
    let folded = lines.iter().filter_map(|line| line.split_once("… ")?.1.split(' ').next());
    let folded: Vec<usize> = folded.map(|number| number.parse().unwrap()).collect();
    let shown = lines.len() - folded.len();
    assert_eq!(shown + folded.iter().sum::<usize>(), 1 + 20 + 200 + 9, "{tree}");
    // And every hierarchy together is no more than that.
    let all = stdout(role, &["draw"]);
    assert!(all.lines().count() < 50 * mounts().len() + 50, "{all}");
    drop(running);
}

fn draw_shows_threads(role: Role) {
    let fresh = Fresh::new(2);
    let threaded = fresh.with("threaded");
    fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
    let running = sleeper(role, &fresh.folder);
    fs::write(threaded.join("cgroup.threads"), running.pid().to_string()).unwrap();
    let drawn = stdout(role, &["draw", &fresh.spec()]);
    assert!(drawn.contains(&format!("threaded  1 thread: {} sleep", running.pid())), "{drawn}");
}

fn the_picture_is_well_formed(role: Role) {
    let fresh = Fresh::new(2);
    // Neither the name of a cgroup nor that of a process is under our control.
    let folder = fresh.with("1/2/3/<b>&amp;\"\u{1b}[31m");
    // More than fit into a row so far down.
    let _sleepers: Vec<_> = (0..4).map(|_| sleeper(role, &folder)).collect();
    let script = "printf '</g>&]]>\\033' > /proc/self/comm; echo; read -r forever < /dev/zero";
    let mut running = role.start("bash", &["-c", script]);
    running.line();
    fs::write(folder.join("cgroup.procs"), running.pid().to_string()).unwrap();
    let picture = stdout(role, &["draw", "--svg", "/proc/self/fd/1", &fresh.spec()]);
    let picture = roxmltree::Document::parse(&picture).unwrap();
    let root = picture.root_element();
    assert_eq!(root.tag_name().name(), "svg");
    for kind in ["title", "desc", "style"] {
        let child = root.children().find(|child| child.has_tag_name((SVG, kind)));
        assert!(child.is_some_and(|child| child.text().is_some_and(|text| !text.is_empty())));
    }
    let texts: Vec<_> =
        picture.descendants().filter(|node| node.has_tag_name((SVG, "text"))).collect();
    let says = |text: &str| texts.iter().find(|node| node.text() == Some(text));
    let pill = says(&running.pid().to_string()).expect("the process is a pill");
    assert_eq!(pill.attribute("class"), Some("on-process"));
    let group = pill.parent().unwrap();
    let tip = group.children().find(|node| node.has_tag_name((SVG, "title"))).unwrap();
    assert_eq!(tip.text(), Some(&*format!("{} </g>&]]>?", running.pid())));
    let titles = texts.iter().filter_map(|node| node.first_element_child()?.text());
    let titles: Vec<_> = titles.collect();
    assert!(titles.contains(&"<b>&amp;\"?[31m"), "{titles:?}");
    // Nothing is drawn outside of the paper.
    let number =
        |node: roxmltree::Node, name| node.attribute(name).map_or(0, |n| n.parse().unwrap());
    let (width, height): (i32, i32) = (number(root, "width"), number(root, "height"));
    for rect in picture.descendants().filter(|node| node.has_tag_name((SVG, "rect"))) {
        assert!(number(rect, "x") + number(rect, "width") <= width, "{rect:?}");
        assert!(number(rect, "y") + number(rect, "height") <= height, "{rect:?}");
    }
    // A tree for each hierarchy.
    let all = stdout(role, &["draw", "--svg", "/proc/self/fd/1"]);
    for (version, _, path) in mounts() {
        assert!(all.contains(&format!("<title>v{version}, {}</title>", path.display())), "{all}");
    }
    // And in the terminal nothing is a command to it.
    assert!(!stdout(role, &["draw", &fresh.spec()]).contains('\u{1b}'));
    assert!(!stdout(role, &["lscgroup"]).contains('\u{1b}'));
}

const SVG: &str = "http://www.w3.org/2000/svg";

fn the_picture_is_saved_whole_or_not_at_all(role: Role) {
    // A file system of one page, in which half a picture has room.
    let script = "mount -t tmpfs -o size=4k none /mnt && cd /mnt && printf old > a.svg
        ch07-cgroup-hierarchy draw --svg a.svg; echo $?; ls -A; cat a.svg";
    let output = role.run("unshare", &["-Urm", "sh", "-c", script]);
    assert_eq!(output.stdout, "125\na.svg\nold", "{output:?}");
    let expected = "ch07-cgroup-hierarchy: cannot save the picture: write(\"a.svg\"): ENOSPC: ";
    assert!(output.stderr.starts_with(expected), "{output:?}");
    for (file, errno) in [("/nowhere/a.svg", "ENOENT"), ("/", "EISDIR"), ("/dev/null/a", "ENOTDIR")]
    {
        let output = role.run(PROGRAM, &["draw", "--svg", file]);
        let expected = format!("{PROGRAM}: cannot save the picture: open({file:?}): {errno}: ");
        assert!(output.stderr.starts_with(&expected), "{output:?}");
        assert_eq!((output.status, output.stdout.as_str()), (125, ""));
    }
}

fn the_picture_goes_through_a_link_and_a_pipe(role: Role) {
    let script = "set -e; cd $(mktemp -d); touch other; ln -s other a.svg
        ch07-cgroup-hierarchy draw --svg a.svg; readlink a.svg; grep -c '</svg>' other; ls
        umask 027; ch07-cgroup-hierarchy draw --svg new.svg; stat -c %a new.svg
        ch07-cgroup-hierarchy draw --svg /proc/self/fd/1 | grep -c '</svg>'
        mkfifo pipe; grep -c '</svg>' pipe & ch07-cgroup-hierarchy draw --svg pipe; wait; test -p pipe
        rm a.svg other new.svg pipe; rmdir \"$PWD\"";
    let output = role.run("sh", &["-c", script]);
    let expected = "other\n1\na.svg\nother\n640\n1\n1\n";
    assert_eq!((output.status, output.stdout.as_str()), (0, expected), "{output:?}");
}

fn whereis_finds_a_process_and_its_limits(role: Role) {
    let fresh = Fresh::new(1);
    let root = fresh.folder.parent().unwrap();
    if fresh.version == 2 {
        // Left as it is then, and as systemd has it: others may have come to count on it.
        fs::write(root.join("cgroup.subtree_control"), "+pids").unwrap();
    }
    fs::write(fresh.folder.join("pids.max"), "77").unwrap();
    let inner = fresh.with("inner");
    let running = sleeper(role, &inner);
    let table = stdout(role, &["whereis", &running.pid().to_string()]);
    let path = format!("/{}/inner", fresh.name);
    let row = table.lines().find(|line| line.contains(&path)).expect("the row of the cgroup");
    let limit = format!("pids.max 77 of /{}", fresh.name);
    let words: Vec<_> = row.split_whitespace().collect();
    assert!(words.contains(&&*path) && words.contains(&inner.to_str().unwrap()), "{table}");
    assert!(row.trim_end().ends_with(&format!("  {limit}")), "{table}");
    // What is nearer comes first.
    fs::write(inner.join("pids.max"), "5").unwrap_or_else(|_| {
        fs::write(fresh.folder.join("cgroup.subtree_control"), "+pids").unwrap();
        fs::write(inner.join("pids.max"), "5").unwrap();
    });
    let table = stdout(role, &["whereis", &running.pid().to_string()]);
    let at = table.lines().position(|line| line.trim_end().ends_with("  pids.max 5")).unwrap();
    assert!(table.lines().nth(at + 1).unwrap().trim_end().ends_with(&limit), "{table}");
    assert_eq!(table.matches("pids.max").count(), 2, "{table}");
}

fn whereis_finds_itself(role: Role) {
    let _machine = crate::MACHINE.lock();
    let table = stdout(role, &["whereis"]);
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let cgroups: BTreeSet<_> =
        own.lines().map(|line| line.splitn(3, ':').nth(2).unwrap()).collect();
    for cgroup in cgroups {
        assert!(table.contains(&format!("  {cgroup} ")), "{cgroup} in {table}");
    }
    assert_eq!(table.lines().skip(1).filter(|row| row.starts_with('v')).count(), mounts().len());
    for (_, _, root) in mounts() {
        let root = root.to_str().unwrap();
        let line = table.lines().find(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.iter().any(|word| *word == root || word.starts_with(&format!("{root}/")))
        });
        assert!(line.is_some(), "{root} in {table}");
    }
}

fn refused(role: Role, args: &[&str], message: &str, help: &str) {
    let output = role.run(PROGRAM, args);
    assert_eq!(output.stderr, format!("{PROGRAM}: {message}\n  help: {help}\n"));
    assert_eq!((output.status, output.stdout.as_str()), (125, ""));
}

fn what_is_not_there_is_refused(role: Role) {
    let list = stdout(role, &["lssubsys", "-m"]);
    let (word, root) = list.lines().next().unwrap().split_once(' ').unwrap();
    let root = Path::new(root);
    let no_cgroup =
        "a cgroup is a folder of its hierarchy; `ch07-cgroup-hierarchy lscgroup` lists them all";
    let open = |path: &str, errno: &str| {
        format!("cannot read cgroup /{path} of {word}: open({:?}): {errno}", root.join(path))
    };
    let missing = open("nope", "ENOENT: No such file or directory");
    refused(role, &["lscgroup", &format!("{word}:/nope")], &missing, no_cgroup);
    let file = open("cgroup.procs", "ENOTDIR: Not a directory");
    refused(role, &["lscgroup", &format!("{word}:/cgroup.procs")], &file, no_cgroup);
    let out = format!("\"/../x\" leads out of {root:?}");
    refused(role, &["lscgroup", &format!("{word}:/../x")], &out, no_cgroup);
    let lists = "`ch07-cgroup-hierarchy lssubsys -am` lists the subsystems, and the hierarchies that have them";
    for list in ["nope", "", "name=nope"] {
        let message = format!("no hierarchy that is mounted here has {list:?}");
        refused(role, &["lscgroup", list], &message, lists);
    }
    let mut gone = role.start("true", &[]);
    assert_eq!(gone.end(), 0);
    let message = format!(
        "cannot tell the cgroups of process {0}: open(\"/proc/{0}/cgroup\"): ENOENT: No such file or directory",
        gone.pid()
    );
    let help = "it has ended, or never was; ps -e lists those that are there";
    refused(role, &["whereis", &gone.pid().to_string()], &message, help);
    assert_eq!(role.run(PROGRAM, &["whereis", "me"]).status, 2);
}

fn without_proc_it_says_so(role: Role) {
    for command in
        ["lssubsys", "lssubsys -a", "lscgroup", "draw", "whereis", "draw --svg /mnt/a.svg"]
    {
        let script = format!("mount -t tmpfs none /proc && exec ch07-cgroup-hierarchy {command}");
        let output = role.run("unshare", &["-Urm", "sh", "-c", &script]);
        assert_eq!(
            output.stderr,
            "ch07-cgroup-hierarchy: open(\"/proc/self/mountinfo\"): ENOENT: No such file or directory\n  \
             help: /proc is not mounted; as root: mount -t proc proc /proc\n"
        );
        assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{command}");
    }
}

fn without_a_hierarchy_it_says_so(role: Role) {
    let unmount = "awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r mount; do umount \"$mount\"; done";
    let run = |command: &str| {
        let script = format!("{unmount}; exec ch07-cgroup-hierarchy {command}");
        role.run("unshare", &["-m", "sh", "-c", &script])
    };
    for command in ["lssubsys", "lscgroup", "lscgroup cpu", "draw", "whereis"] {
        let output = run(command);
        assert_eq!(
            output.stderr,
            "ch07-cgroup-hierarchy: no cgroup file system is mounted here\n  \
             help: mount one: sudo mount -t cgroup2 none /sys/fs/cgroup\n"
        );
        assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{command}");
    }
    // What the kernel has it has all the same.
    assert!(run("lssubsys -a").stdout.contains("\ncpu"));
}
