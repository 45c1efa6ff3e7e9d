/* SPDX-License-Identifier: MIT */
/*
 * The host process as programs see it. Each scenario is a program of its own:
 * this binary executed again, which speaks the door's protocol and ends with
 * status 0, or prints what went wrong.
 */
#include "host/test-client.h"
#include "host/test-door.h"

#include "host/host.h"
#include "memory/guard.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

/* A device whose doorbell is answered in its memory: the least that shows a write arrived. */
static const struct via_area bell_areas[] = {
	{.offset = 4096, .size = 4096, .kind = VIA_AREA_DOORBELL},
	{.offset = 8192, .size = 8192, .kind = VIA_AREA_MEMORY},
};

static const struct via_device_desc bell_desc = {
	.name = "bell",
	.ident = {.vendor = 0x1234, .device = 0xbe11, .class_code = 0xff0000},
	.bars = {{.size = 16384, .areas = bell_areas, .n_areas = 2}},
};

static bool bell_doorbell(struct via_device *dev, void *model, unsigned int bar)
{
	uint32_t *bell = via_device_region_memory(dev, bar, 4096);
	uint32_t *echo = via_device_region_memory(dev, bar, 8192);
	uint32_t value = __atomic_load_n(bell, __ATOMIC_SEQ_CST);

	(void)model;
	if (__atomic_load_n(echo, __ATOMIC_SEQ_CST) == value)
		return false;
	__atomic_store_n(echo, value, __ATOMIC_SEQ_CST);
	return true;
}

static void add_bell(struct via_host *host)
{
	static const struct via_device_ops ops = {.doorbell = bell_doorbell};
	struct via_error err = {0};
	struct via_pci_addr addr;
	struct via_device *dev;

	assert_int_equal(via_pci_addr_parse(BELL, &addr), 0);
	assert_int_equal(via_device_new(&bell_desc, &ops, NULL, &err, &dev), 0);
	assert_int_equal(via_vfio_add(via_host_vfio(host), dev, &addr, 1, &err), 0);
}

struct fixture {
	struct via_host *host;
	char name[64];
	unsigned int n_fds; /* descriptors of ours before any program */
};

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void start_host(struct fixture *fixture)
{
	struct via_vfio_config config = {.profile = VIA_PROFILE_FULL};
	struct via_error err = {0};

	assert_int_equal(via_host_new(&config, &fixture->host), 0);
	assert_int_equal(via_host_add_device(fixture->host, "edu,addr=" DEVICE ",group=0", &err),
			 0);
	add_bell(fixture->host);
	assert_int_equal(via_host_listen(fixture->host, fixture->name, sizeof(fixture->name), &err),
			 0);
	fixture->n_fds = count_fds();
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	start_host(fixture);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	via_host_free(fixture->host);
	free(fixture);
	return 0;
}

static pid_t start(struct fixture *fixture, const char *what, int number)
{
	char text[16];
	pid_t pid;

	snprintf(text, sizeof(text), "%d", number);
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "program", what, fixture->name, text, NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	return pid;
}

static void finish(pid_t pid, int expected)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, expected);
}

/* Nothing is left of any program. */
static void assert_clean(struct fixture *fixture)
{
	struct via_host_counts counts;

	via_host_settle(fixture->host);
	via_host_counts(fixture->host, &counts);
	assert_int_equal(counts.peers, 0);
	assert_int_equal(counts.slots, 0);
	assert_int_equal(counts.files, 0);
	assert_int_equal(counts.mappings, 0);
	assert_int_equal(count_fds(), fixture->n_fds);
}

static void run(void **state, const char *what)
{
	struct fixture *fixture = *state;

	finish(start(fixture, what, -1), 0);
	assert_clean(fixture);
}

static void opens_and_calls(void **state)
{
	run(state, "open");
}

static void closes_are_seen(void **state)
{
	run(state, "close");
}

static void passes_descriptors(void **state)
{
	run(state, "upcalls");
}

static void transfers(void **state)
{
	run(state, "transfer");
}

static void maps(void **state)
{
	run(state, "mapping");
}

static void outlives_truncation(void **state)
{
	struct fixture *fixture = *state;
	char image[] = "/tmp/viaduct-door-XXXXXX", spec[128];
	struct via_error err = {0};
	int fd = mkstemp(image);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	snprintf(spec, sizeof(spec), "nvme,addr=" NVME ",group=2,engine=threads,image=%s", image);
	if (via_host_add_device(fixture->host, spec, &err))
		fail_msg("%s", err.text);
	close(fd);
	unlink(image);
	/* cmocka took the handlers after via_host_listen() had. */
	assert_int_equal(via_guard_install(), 0);
	fixture->n_fds = count_fds();
	run(state, "truncate");
}

static void run_or_skip(void **state, const char *what, int expected)
{
	struct fixture *fixture = *state;
	pid_t pid = start(fixture, what, -1);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_clean(fixture);
	if (status == EXIT_SKIPPED << 8)
		skip();
	assert_int_equal(status, expected);
}

static void guards_doorbells(void **state)
{
	run_or_skip(state, "guard", 0);
}

static void drops_guards_of_the_killed(void **state)
{
	run_or_skip(state, "guard-killed", SIGKILL);
}

static void survives_exec(void **state)
{
	run(state, "exec");
}

static void checks_memory(void **state)
{
	run(state, "memory");
}

static void bounds_connections(void **state)
{
	run(state, "many");
}

static void identifies_what_was_sent(void **state)
{
	struct fixture *fixture = *state;
	int ends[2];

	/* The sender may be gone before the receiver looks. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	finish(start(fixture, "sender", ends[0]), 0);
	finish(start(fixture, "receiver", ends[1]), 0);
	close(ends[0]);
	close(ends[1]);
	assert_clean(fixture);
}

static void sees_the_drop_in_flight(void **state)
{
	struct fixture *fixture = *state;
	struct via_host_counts counts;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	finish(start(fixture, "sender", ends[0]), 0);
	via_host_settle(fixture->host);
	via_host_counts(fixture->host, &counts);
	assert_int_equal(counts.files, 1);
	close(ends[0]);
	close(ends[1]);
	assert_clean(fixture);
}

static void cleans_up_after_kills(void **state)
{
	struct fixture *fixture = *state;

	srandom(7);
	for (int i = 0; i < 100; i++) {
		pid_t a = start(fixture, "busy", -1);

		usleep((useconds_t)(random() % 8000));
		kill(a, SIGKILL);
		finish(a, SIGKILL);
		assert_clean(fixture);
	}
}

static void outlives_a_death_in_an_upcall(void **state)
{
	struct fixture *fixture = *state;

	finish(start(fixture, "die-in-upcall", -1), SIGKILL);
	/* At once: the next program must not find the group taken. */
	finish(start(fixture, "upcalls", -1), 0);
	assert_clean(fixture);
}

static void lets_nothing_hold_itself(void **state)
{
	run(state, "hold");
}

/* A program that stops where we wait for it holds up nobody else, and not the end. */
static void waits_for_nobody(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = start(fixture, "mute", -1);
	int status;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	finish(start(fixture, "open", -1), 0);
	kill(pid, SIGKILL);
	finish(pid, SIGKILL);
	finish(start(fixture, "close", -1), 0);
	assert_clean(fixture);
	/* The same, with the host ending first. */
	pid = start(fixture, "mute", -1);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	via_host_free(fixture->host);
	kill(pid, SIGKILL);
	finish(pid, SIGKILL);
	start_host(fixture);
}

/* Where the kernel does not let us at a program's memory, it copies itself. */
static void asks_for_memory(void **state)
{
	struct fixture *fixture = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "program", "refused", "-", NULL);
		_exit(127);
	}
	(void)fixture;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void outlives_garbage(void **state)
{
	struct fixture *fixture = *state;
	pid_t good;

	for (int i = 0; i < 2; i++) {
		pid_t bad = start(fixture, "garbage", i);

		good = start(fixture, "close", -1);
		finish(good, 0);
		finish(bad, 0);
	}
	assert_clean(fixture);
}

static int connect_raw(struct fixture *fixture)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path + 1, fixture->name + 1, strlen(fixture->name) - 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
					     strlen(fixture->name))),
			 0);
	return fd;
}

static void refuses_a_bad_hello(void **state)
{
	struct fixture *fixture = *state;
	struct via_door_hello hello = {.magic = VIA_DOOR_MAGIC, .version = 999};
	struct via_door_welcome welcome;
	int fd = connect_raw(fixture), got;

	assert_int_equal(via_door_send(fd, &hello, sizeof(hello), -1, 0), 0);
	assert_int_equal(via_door_recv(fd, &welcome, sizeof(welcome), 0, true, &got), 0);
	assert_int_equal(welcome.error, -EPROTO);
	assert_int_equal(got, -1);
	assert_int_equal(via_door_recv(fd, &welcome, sizeof(welcome), 0, true, &got), -ECONNRESET);
	close(fd);
	/* Short, and with a descriptor that nobody asked for. */
	fd = connect_raw(fixture);
	assert_int_equal(via_door_send(fd, &hello, 3, fd, 0), 0);
	assert_int_equal(via_door_recv(fd, &welcome, sizeof(welcome), 0, true, &got), 0);
	assert_int_equal(welcome.error, -EPROTO);
	close(fd);
	/* Many who say nothing do not keep others out. */
	{
		int silent[100];

		for (size_t i = 0; i < 100; i++)
			silent[i] = connect_raw(fixture);
		finish(start(fixture, "open", -1), 0);
		for (size_t i = 0; i < 100; i++)
			close(silent[i]);
	}
	assert_clean(fixture);
}

static void ends_with_programs_running(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = start(fixture, "busy", -1);
	struct via_host_counts counts;

	do
		via_host_counts(fixture->host, &counts);
	while (!counts.files);
	via_host_free(fixture->host);
	/* Before anything can fail: the tests that follow need a host. */
	start_host(fixture);
	finish(pid, EXIT_LOST << 8);
}

static void explains_a_bad_specification(void **state)
{
	static const struct {
		const char *spec, *text;
		int code;
	} cases[] = {
		{"nonsense", "unknown device model 'nonsense'; there are: ", -ENOENT},
		{"edu,addr=zzz", "addr=zzz: give an address like", -EINVAL},
		{"edu,group=-3", "group=-3: give a number", -EINVAL},
		{"edu,colour=red", "colour", -EINVAL},
		{"edu,addr=" DEVICE, DEVICE, -EEXIST},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct via_error err = {0};

		assert_int_equal(via_host_add_device(fixture->host, cases[i].spec, &err),
				 cases[i].code);
		assert_non_null(strstr(err.text, cases[i].text));
	}
	assert_int_equal(via_host_add_device(fixture->host, "edu", NULL), 0);
}

/* A host of its own that may not use process_vm_readv and process_vm_writev. */
static int refused(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
	static const char *const scenarios[] = {"upcalls", "transfer", "memory"};
	struct fixture fixture;

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	start_host(&fixture);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		int status;
		pid_t pid = start(&fixture, scenarios[i], -1);

		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	}
	via_host_free(fixture.host);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opens_and_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(closes_are_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(passes_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(transfers, setup, teardown),
		cmocka_unit_test_setup_teardown(maps, setup, teardown),
		cmocka_unit_test_setup_teardown(outlives_truncation, setup, teardown),
		cmocka_unit_test_setup_teardown(guards_doorbells, setup, teardown),
		cmocka_unit_test_setup_teardown(drops_guards_of_the_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_exec, setup, teardown),
		cmocka_unit_test_setup_teardown(checks_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(identifies_what_was_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(sees_the_drop_in_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(cleans_up_after_kills, setup, teardown),
		cmocka_unit_test_setup_teardown(outlives_a_death_in_an_upcall, setup, teardown),
		cmocka_unit_test_setup_teardown(lets_nothing_hold_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(asks_for_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(outlives_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_a_bad_hello, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_with_programs_running, setup, teardown),
		cmocka_unit_test_setup_teardown(explains_a_bad_specification, setup, teardown),
	};

	/* A program in which something fails must not take the test with it. */
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc > 2 && strcmp(argv[1], "refused") == 0)
		return refused();
	if (argc > 2)
		return test_door_program(argc, argv);
	return cmocka_run_group_tests_name("the door", tests, NULL, NULL);
}
