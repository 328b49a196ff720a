/* The floor: what the kernel alone takes for the container of chapter 10.
 *
 *   floor ROOT CGROUP UID-MAP GID-MAP COMMAND [ARGUMENT...]
 *
 * The same namespaces, ids, mounts, cgroup, keyring, capabilities and init, by the fewest system calls that we
 * know. What chapter 10 finds out is told here: CGROUP is the folder in which to make a cgroup, or `-` for
 * none; a map is what is written to uid_map, or for an ordinary user the words for newuidmap(1). It checks
 * nothing that the kernel does not check: it is for scripts/bench, and no way to start a container.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* From linux/mount.h, which not every C library lets one include beside sys/mount.h. */
struct attributes { uint64_t set, clear, propagation, userns_fd; };
enum { NOSUID = 0x2, NODEV = 0x4, NOEXEC = 0x8, IDMAP = 0x100000 };
enum { CLONE_TREE = 0x1 | O_CLOEXEC, RECURSIVE = 0x8000, FROM_FD = 0x4 };
enum { FAILED = 125, SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC };

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define KEEP(name) (1u << CAP_##name)
static char cgroup[4096];

static long check(long answer, const char *what)
{
	if (answer < 0) {
		perror(what);
		rmdir(cgroup);
		_exit(FAILED);
	}
	return answer;
}

static void mount_new(const char *type, const char *place, unsigned long flags, const char *options)
{
	check(mount(type, place, type, flags, options), place);
}

static void set_attributes(int from, const char *path, struct attributes change)
{
	check(syscall(SYS_mount_setattr, from, path, AT_EMPTY_PATH | RECURSIVE, &change, sizeof change), "mount_setattr");
}

static int take_tree(const char *root)
{
	return check(syscall(SYS_open_tree, AT_FDCWD, root, CLONE_TREE | RECURSIVE), root);
}

static void write_file(int folder, const char *path, const char *text)
{
	int file = check(openat(folder, path, O_WRONLY | O_CLOEXEC), path);
	check(write(file, text, strlen(text)), path);
	close(file);
}

/* Forwards signals to `child` and reaps whoever dies, until the child has. They are blocked, and wait to be
 * fetched: it takes no handler and no descriptor. */
static int attend(pid_t child, const sigset_t *signals)
{
	for (;;) {
		int status, signal = sigwaitinfo(signals, NULL);
		if (signal != SIGCHLD)
			kill(child, signal);
		for (pid_t dead; signal == SIGCHLD && (dead = waitpid(-1, &status, WNOHANG)) > 0;)
			if (dead == child)
				return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

/* --- Inside --- */

static void make_root(int tree)
{
	mount_new("tmpfs", "/tmp", MS_NODEV, "mode=755");
	check(mkdir("/tmp/lower", 0755), "mkdir");
	check(mkdir("/tmp/upper", 0755), "mkdir");
	check(mkdir("/tmp/work", 0755), "mkdir");
	check(syscall(SYS_move_mount, tree, "", AT_FDCWD, "/tmp/lower", FROM_FD), "move_mount");
	/* On top of its own layers: it holds them, and they go with the old root. */
	mount_new("overlay", "/tmp", MS_NODEV, "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work,userxattr");
	check(chdir("/tmp"), "chdir");

	mount_new("proc", "proc", SAFE, NULL);
	mount_new("sysfs", "sys", SAFE | MS_RDONLY, NULL);
	mount_new("tmpfs", "dev", SAFE, "mode=755,size=64k");
	/* Real devices nobody can make in a user namespace: an empty file for each, to mount it on. */
	static const char *devices[] = { "/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero" };
	for (unsigned i = 0; i < LENGTH(devices); i++) {
		check(mknod(devices[i] + 1, S_IFREG | 0644, 0), devices[i]);
		check(mount(devices[i], devices[i] + 1, NULL, MS_BIND, NULL), devices[i]);
	}
	static const char *links[][2] = { { "/proc/self/fd", "dev/fd" }, { "/proc/self/fd/0", "dev/stdin" },
		{ "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" }, { "pts/ptmx", "dev/ptmx" } };
	for (unsigned i = 0; i < LENGTH(links); i++)
		check(symlink(links[i][0], links[i][1]), links[i][1]);
	static const char *mounts[][3] = { { "devpts", "dev/pts", "ptmxmode=666,mode=620" },
		{ "tmpfs", "dev/shm", "mode=1777,size=64m" }, { "mqueue", "dev/mqueue", NULL } };
	for (unsigned i = 0; i < LENGTH(mounts); i++) {
		check(mkdir(mounts[i][1], 0755), mounts[i][1]);
		mount_new(mounts[i][0], mounts[i][1], i == 0 ? MS_NOSUID | MS_NOEXEC : SAFE, mounts[i][2]);
	}
	/* A bind mount is made as its source is. So all six get the rest at once. */
	set_attributes(AT_FDCWD, "dev", (struct attributes){ .set = NOSUID | NOEXEC });

	check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	check(umount2(".", MNT_DETACH), "umount2");
}

static void set_lo_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int any = check(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	check(ioctl(any, SIOCSIFFLAGS, &request), "ioctl");
	close(any);
}

static void drop_capabilities(void)
{
	const uint32_t keep = KEEP(AUDIT_WRITE) | KEEP(CHOWN) | KEEP(DAC_OVERRIDE) | KEEP(FOWNER) | KEEP(FSETID) | KEEP(KILL) | KEEP(MKNOD) |
		KEEP(NET_BIND_SERVICE) | KEEP(NET_RAW) | KEEP(SETFCAP) | KEEP(SETGID) | KEEP(SETPCAP) | KEEP(SETUID) | KEEP(SYS_CHROOT);
	/* The kernel refuses the first number that it has no capability for. */
	for (int one = 0; one < 64; one++)
		if ((one > 31 || !(keep >> one & 1)) && prctl(PR_CAPBSET_DROP, one, 0, 0, 0) < 0)
			break;
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { keep, keep, 0 } };
	check(syscall(SYS_capset, &header, data), "capset");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int inside(char **argv, int tree, int tasks, int gate[2], const sigset_t *signals, const sigset_t *before)
{
	char byte, **command = argv + 5;
	*cgroup = 0; /* the parent's to remove */
	close(gate[1]);
	/* First what takes no ids, while the parent writes the maps. */
	if (tasks >= 0) {
		/* Nothing is quicker than a process that moves itself; a cgroup namespace begins where one is then. */
		check(write(tasks, "0", 1), "tasks");
		check(syscall(SYS_unshare, CLONE_NEWCGROUP), "unshare");
	}
	check(sethostname("box", 3), "sethostname");
	set_lo_up();
	check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
	/* The end of the pipe means that the parent has died. */
	if (read(gate[0], &byte, 1) != 1)
		return FAILED;
	check(setgroups(0, NULL), "setgroups");
	check(setresgid(0, 0, 0), "setresgid");
	check(setresuid(0, 0, 0), "setresuid");
	/* After the user, since a change of it clears this; and then it may be too late for a parent. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (poll(&(struct pollfd){ .fd = gate[0] }, 1, 0) != 0)
		return FAILED;
	if (tree < 0) {
		tree = take_tree(argv[1]);
		set_attributes(tree, "", (struct attributes){ .set = NODEV, .propagation = MS_PRIVATE });
	}
	make_root(tree);
	drop_capabilities();
	check(syscall(SYS_close_range, 3, ~0u, 0), "close_range");
	prctl(PR_SET_DUMPABLE, 0);
	/* Not fork: who becomes another program at once needs no copy of the page tables. */
	pid_t child = check(vfork(), "vfork");
	if (child == 0) {
		static char *environment[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL };
		setsid();
		sigprocmask(SIG_SETMASK, before, NULL);
		check(execve(command[0], command, environment), command[0]);
	}
	return attend(child, signals);
}

/* --- Outside --- */

static pid_t start_helper(char *helper, char *pid, char *map)
{
	char *arguments[32] = { helper, pid };
	int count = 2;
	for (char *word = strtok(map, " "); word && count < 31; word = strtok(NULL, " "))
		arguments[count++] = word;
	pid_t child = check(vfork(), "vfork");
	if (child == 0)
		check(execvp(helper, arguments), helper);
	return child;
}

static void map_ids(pid_t child, int tree, char *users, char *groups)
{
	char path[64];
	int status;
	if (tree < 0) {
		snprintf(path, sizeof path, "%d", child);
		pid_t helpers[] = { start_helper("newuidmap", path, users), start_helper("newgidmap", path, groups) };
		for (int i = 0; i < 2; i++)
			if (waitpid(helpers[i], &status, 0) < 0 || status != 0)
				check(-1, "newuidmap, newgidmap");
		return;
	}
	snprintf(path, sizeof path, "/proc/%d/uid_map", child);
	write_file(AT_FDCWD, path, users);
	snprintf(path, sizeof path, "/proc/%d/gid_map", child);
	write_file(AT_FDCWD, path, groups);
	snprintf(path, sizeof path, "/proc/%d/ns/user", child);
	int userns = check(open(path, O_RDONLY | O_CLOEXEC), path);
	/* On this mount alone, root's files are the container's root's. */
	set_attributes(tree, "", (struct attributes){ .set = NODEV | IDMAP, .propagation = MS_PRIVATE, .userns_fd = userns });
}

int main(int argc, char **argv)
{
	if (argc < 6)
		return FAILED;
	struct clone_args how = { .exit_signal = SIGCHLD, .flags = CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET |
		CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWTIME | CLONE_NEWUSER | CLONE_NEWUTS };
	int tasks = -1, gate[2];
	if (strcmp(argv[2], "-") != 0) {
		snprintf(cgroup, sizeof cgroup, "%s/floor-%d", argv[2], getpid());
		check(mkdir(cgroup, 0755), cgroup);
		int folder = check(open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC), cgroup);
		write_file(folder, "pids.max", "2048");
		/* Only v1 has this file. On v2 the child is born in the cgroup. */
		tasks = openat(folder, "tasks", O_WRONLY | O_CLOEXEC);
		how.flags = tasks < 0 ? how.flags | CLONE_INTO_CGROUP : how.flags & ~CLONE_NEWCGROUP;
		how.cgroup = tasks < 0 ? folder : 0;
	}
	/* None of the caller's keys. A user can have so many keyrings and no more: then it is not to be had. */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	int tree = geteuid() == 0 ? take_tree(argv[1]) : -1;
	check(pipe2(gate, O_CLOEXEC), "pipe2");
	sigset_t signals, before;
	const int fetched[] = { SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
	sigemptyset(&signals);
	for (unsigned i = 0; i < LENGTH(fetched); i++)
		sigaddset(&signals, fetched[i]);
	sigprocmask(SIG_BLOCK, &signals, &before);
	pid_t child = check(syscall(SYS_clone3, &how, sizeof how), "clone3");
	if (child == 0)
		_exit(inside(argv, tree, tasks, gate, &signals, &before));
	map_ids(child, tree, argv[3], argv[4]);
	/* It stays open: that it closes tells the child of our death. */
	check(write(gate[1], "", 1), "write");
	int status = attend(child, &signals);
	if (*cgroup)
		check(rmdir(cgroup), cgroup);
	return status;
}
