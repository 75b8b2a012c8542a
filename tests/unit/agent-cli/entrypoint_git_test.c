/*
 * Clone and harvest against the real git. The origin is a directory, by a
 * protocol that only this test lets git speak.
 */

#include <sys/stat.h>
#include <sys/wait.h>

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"

#include "agent-cli/entrypoint_git.h"
#include "tests/words.h"

#define BRANCH "agent/sh/abcdefghijkl"

static char dir[64], url[128], work[128], keep[128];
static struct git_job job;
static struct git_result r;
static char *env[] = { NULL, NULL, NULL, NULL, NULL, NULL };
static char home[128];

/* Run in the shell, $D is the directory, in the clone when there is one. */
static int __attribute__((format(printf, 1, 2))) sh(const char *fmt, ...)
{
	char words[2048], line[2600];
	va_list ap;
	int status;

	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	(void)snprintf(line, sizeof(line),
	    "D=%s; export D GIT_CONFIG_GLOBAL=/dev/null HOME=$D; "
	    "cd $D/work 2>/dev/null || cd $D; exec >>$D/log 2>&1; %s",
	    dir, words);
	status = words_shell(line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define IDENTITY "-c user.name=t -c user.email=t@example.invalid"

static void
set_up(void)
{
	(void)strlcpy(dir, "/tmp/entrypoint_git.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(url, sizeof(url), "file://%s/origin", dir);
	(void)snprintf(work, sizeof(work), "%s/work", dir);
	(void)snprintf(keep, sizeof(keep), "%s/keep", dir);
	(void)snprintf(home, sizeof(home), "HOME=%s", dir);
	env[0] = home;
	env[1] = strdup("PATH=" TOOL_PATH);
	env[2] = strdup("GIT_AUTHOR_NAME=agent");
	env[3] = strdup("GIT_AUTHOR_EMAIL=agent@bulkhead.invalid");
	env[4] = NULL;
	(void)setenv("GIT_COMMITTER_NAME", "nobody", 1);
	job = (struct git_job){ .url = url,
		.protocol = "file",
		.base = "",
		.branch = BRANCH,
		.work = work,
		.keep = keep,
		.home = dir,
		.spare = dir,
		.bundle_max = 10 * 1024 * 1024,
		.envp = env };
}

static void
tear_down(void)
{
	ck_assert_int_eq(sh("cd /; chmod -R u+rwx $D; rm -rf $D"), 0);
	free(env[1]);
	free(env[2]);
	free(env[3]);
}

static void
make_origin(void)
{
	ck_assert_int_eq(
	    sh("git init -q -b main seed && cd seed && echo one >a && "
	       "printf 'x\\r\\n' >crlf && echo '*.o' >.gitignore && "
	       "mkdir sub && echo s >sub/s && git add -A && "
	       "git " IDENTITY " commit -qm first && git tag v1 && "
	       "git checkout -qb side && echo two >b && git add -A && "
	       "git " IDENTITY " commit -qm second && git checkout -q main && "
	       "cd .. && git clone -q --bare seed origin"),
	    0);
}

static void
clone_it(void)
{
	make_origin();
	git_clone(&job, &r);
	ck_assert_msg(r.end == GIT_DONE, "%s", r.why);
	(void)strlcpy(job.base_commit, r.base, sizeof(job.base_commit));
}

static void
harvest(void)
{
	int64_t from = clock_boot_ms();

	git_harvest(&job, &r);
	ck_assert_int_lt(clock_boot_ms() - from, 60000);
}

/* Fetch the bundle into the origin; `words` then look at $B there. */
static void __attribute__((format(printf, 1, 2))) fetched(const char *fmt, ...)
{
	char words[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	ck_assert_msg(r.end == GIT_DONE, "%d %s", r.end, r.why);
	ck_assert_int_gt(r.bytes, 0);
	ck_assert_int_eq(sh("cd $D/origin && git bundle verify -q %s && "
	                    "git fetch -q %s '+refs/heads/*:refs/got/*' && "
	                    "B=refs/got/" BRANCH " && "
	                    "test $(git rev-parse $B) = %s && %s",
	                     r.bundle, r.bundle, r.head, words),
	    0);
}

/* --- clone -------------------------------------------------------------- */

START_TEST(clone_default)
{
	clone_it();
	ck_assert_int_eq(sh("test \"$(git symbolic-ref HEAD)\" = "
	                    "refs/heads/" BRANCH " && test -f a && "
	                    "test ! -f b && git rev-parse v1 && "
	                    "test $(git rev-parse HEAD) = %s && "
	                    "test ! -e .git/hooks/pre-commit.sample",
	                     r.base),
	    0);
}
END_TEST

START_TEST(clone_branch)
{
	job.base = "side";
	clone_it();
	ck_assert_int_eq(sh("test -f b"), 0);
}
END_TEST

START_TEST(clone_no_branch)
{
	make_origin();
	job.base = "none";
	git_clone(&job, &r);
	ck_assert_int_eq(r.end, GIT_FAILED);
	ck_assert_ptr_nonnull(strstr(r.why, "none"));
}
END_TEST

START_TEST(clone_no_origin)
{
	git_clone(&job, &r);
	ck_assert_int_eq(r.end, GIT_FAILED);
	ck_assert_str_ne(r.why, "");
}
END_TEST

/* What git says of names in no encoding is said in printable ASCII. */
START_TEST(clone_odd_bytes)
{
	const char *p;

	make_origin();
	job.base = "caf\351\033[2J";
	git_clone(&job, &r);
	ck_assert_int_eq(r.end, GIT_FAILED);
	ck_assert_msg(strstr(r.why, "caf\\xe9") != NULL, "%s", r.why);
	for (p = r.why; *p != '\0'; p++)
		ck_assert_msg(*p >= 0x20 && *p <= 0x7e, "%s", r.why);
}
END_TEST

/* Only the one protocol, whatever the URL says. */
START_TEST(clone_protocols)
{
	static const char *const urls[] = { "file:///tmp",
		"ext::sh -c touch% /tmp/x", "ssh://localhost/x",
		"git://localhost/x", "http://localhost:1/x" };

	job.protocol = "https";
	job.url = urls[_i];
	git_clone(&job, &r);
	ck_assert_int_eq(r.end, GIT_FAILED);
	ck_assert_msg(strstr(r.why, "not allowed") != NULL ||
	        strstr(r.why, "disabled") != NULL,
	    "%s: %s", urls[_i], r.why);
}
END_TEST

START_TEST(clone_empty)
{
	ck_assert_int_eq(sh("git init -q --bare origin"), 0);
	git_clone(&job, &r);
	ck_assert_msg(r.end == GIT_DONE, "%s", r.why);
	ck_assert_str_eq(r.base, "");
	harvest();
	ck_assert_int_eq(r.end, GIT_NOTHING);
	ck_assert_int_eq(sh("echo new >n"), 0);
	harvest();
	fetched("test $(git show $B:n) = new");
}
END_TEST

/* --- harvest ------------------------------------------------------------- */

/*
 * What the tool does, and what is found in the bundle; NULL: there was nothing
 * to hand back; "": there was, and it is lost.
 */
static const struct {
	const char *name, *tool, *look;
	const char *why; /* within; NULL: none */
} rows[] = {
	{ "nothing", "true", NULL, NULL },
	{ "touched", "touch -d tomorrow a crlf; sleep 0", NULL, NULL },
	{ "ignored", "echo x >a.o", NULL, NULL },
	{ "committed",
	    "echo c >c && git add c && git " IDENTITY " commit -qm third",
	    "test $(git show $B:c) = c && test \"$(git log -1 --format=%s $B)\" "
	    "= third",
	    NULL },
	{ "uncommitted", "echo d >>a; rm crlf; echo u >new file",
	    "test \"$(git log -1 --format=%s%an $B)\" = "
	    "'Uncommitted work of the agentagent' && git show $B:new && "
	    "! git show $B:crlf && test $(git rev-list --count $B) = 2",
	    NULL },
	{ "both",
	    "echo c >c && git add c && git " IDENTITY
	    " commit -qm t; echo d >d",
	    "git show $B:c && git show $B:d && "
	    "test $(git rev-list --count $B) = 3",
	    NULL },
	{ "staged only", "echo c >c && git add c", "git show $B:c", NULL },
	{ "detached",
	    "git checkout -q --detach && echo c >c && git add c && "
	    "git " IDENTITY " commit -qm t",
	    "git show $B:c", NULL },
	{ "another branch",
	    "git checkout -qb mine && echo c >c && git add c && "
	    "git " IDENTITY " commit -qm t",
	    "git show $B:c && ! git rev-parse -q --verify $B-left", NULL },
	{ "two branches",
	    "echo l >left && git add left && git " IDENTITY " commit -qm l && "
	    "git checkout -qb mine HEAD^ && echo c >c && git add c && "
	    "git " IDENTITY " commit -qm t",
	    "git show $B:c && git show $B-left:left", NULL },
	{ "set back", "git checkout -q side && git reset -q --hard v1", NULL,
	    NULL },
	{ "orphan",
	    "git checkout -q --orphan new && git rm -rfq . && echo c >c && "
	    "git add c && git " IDENTITY " commit -qm t",
	    "git show $B:c && ! git show $B:a", NULL },
	{ ".git gone", "rm -rf .git; echo d >d",
	    "git show $B:d && git show $B:a", "cannot be read" },
	{ ".git a link", "mv .git ../moved; ln -s ../moved .git; echo d >d",
	    "git show $B:d", "cannot be read" },
	{ ".git a file", "rm -rf .git; echo gitdir: /etc >.git; echo d >d",
	    "git show $B:d", "cannot be read" },
	{ ".git a pipe", "rm -rf .git; mkfifo .git; echo d >d", "git show $B:d",
	    "cannot be read" },
	{ "HEAD a pipe", "rm .git/HEAD; mkfifo .git/HEAD; echo d >d",
	    "git show $B:d", "cannot be read" },
	{ "config a pipe", "rm .git/config; mkfifo .git/config; echo d >d",
	    "git show $B:d", NULL },
	{ "config broken", "echo '[' >.git/config; echo d >d", "git show $B:d",
	    "cannot be read" },
	{ "locks",
	    "touch .git/index.lock .git/HEAD.lock .git/config.lock; echo d >d",
	    "git show $B:d", NULL },
	{ "index broken", "echo x >.git/index; echo d >d",
	    "git show $B:d && git show $B:a", NULL },
	{ "index a pipe", "rm .git/index; mkfifo .git/index; echo d >d",
	    "git show $B:d", NULL },
	{ "a pipe in the tree", "mkfifo p; echo d >d", "git show $B:d", NULL },
	{ "links", "ln -s /etc/passwd l; ln -s . m",
	    "test $(git cat-file -p $B:l) = /etc/passwd", NULL },
	{ "unreadable index bits",
	    "git update-index --assume-unchanged a; echo d >d", "git show $B:d",
	    NULL },
	{ "in a merge",
	    "git " IDENTITY " merge -q --no-ff --no-commit "
	    "origin/side; echo d >d",
	    "git show $B:d && git show $B:b", NULL },
	{ "a repository within",
	    "git init -q inner && cd inner && "
	    "git " IDENTITY " commit -q --allow-empty -m i; echo d >../d",
	    "git show $B:d && test $(git rev-parse $B:inner) = "
	    "$(git --git-dir $D/work/inner/.git rev-parse HEAD)",
	    "inner is a repository of its own: of it only" },
	{ "a repository within, moved",
	    "git init -q inner && (cd inner && git " IDENTITY
	    " commit -q --allow-empty -m i) && git add inner && git " IDENTITY
	    " commit -qm sub && cd inner && git " IDENTITY
	    " commit -q --allow-empty -m j; echo d >../d",
	    "git show $B:d && test $(git rev-parse $B:inner) = "
	    "$(git --git-dir $D/work/inner/.git rev-parse HEAD)",
	    "inner is a repository" },
	{ "a repository within, as committed",
	    "git init -q inner && (cd inner && git " IDENTITY
	    " commit -q --allow-empty -m i) && git add inner && git " IDENTITY
	    " commit -qm sub; echo d >d",
	    "git show $B:d && git rev-parse $B:inner", NULL },
	{ "a repository without a commit",
	    "mkdir x && git init -q x/inner && echo y >x/inner/y && "
	    "echo z >x/z; echo d >d",
	    "git show $B:d && git show $B:x/z",
	    "x/inner is a repository of its own without a commit" },
	{ "a repository with a name that means something",
	    "git init -q ':(top)[a]*' && echo x >':(top)[a]*/x'; echo d >d; "
	    "echo e >>a",
	    "git show $B:d && git show $B:a | grep e", ":(top)[a]* is a" },
	{ "a repository that is ignored", "git init -q inner.o; echo d >d",
	    "git show $B:d", NULL },
	{ "a repository made of files of the branch",
	    "git init -q sub && echo t >sub/s; echo d >d",
	    "git show $B:d && test $(git show $B:sub/s) = t", NULL },
	/* Until all of it falls into one second, and then behind that. */
	{ "a change to the same length in the second of the checkout",
	    "until rm a && git checkout -q a && echo two >a && "
	    "test $(stat -c %Z a) = $(git ls-files --debug a | "
	    "sed -n 's/^ *ctime: \\([0-9]*\\):.*/\\1/p') && "
	    "test $(stat -c %Z a) = $(stat -c %Y .git/index); do :; done; "
	    "while test $(date +%s) = $(stat -c %Z a); do :; done",
	    "test $(git show $B:a) = two", NULL },
	{ "only a repository without a commit", "git init -q inner", "",
	    "inner is a repository of its own without a commit" },
	{ "names that git refuses", "mkdir .GIT && echo x >.GIT/x; echo d >d",
	    "git show $B:d", ".GIT/x" },
	{ "an encoding that is none",
	    "echo '*.txt working-tree-encoding=UTF-16' >.gitattributes && "
	    "echo hi >bad.txt; echo d >d",
	    "git show $B:d && test $(git show $B:bad.txt) = hi",
	    "stored as they are: fatal: BOM is required in 'bad.txt'" },
	{ "an encoding that is one",
	    "echo '*.txt working-tree-encoding=UTF-16' >.gitattributes && "
	    "printf '\\377\\376h\\000i\\000' >good.txt; echo d >d",
	    "git show $B:d && test $(git show $B:good.txt) = hi", NULL },
	{ "pipes where git reads",
	    "for f in .gitignore .gitattributes .gitmodules sub/.gitignore "
	    "sub/.gitattributes sub/.gitmodules .git/info/exclude "
	    ".git/info/attributes .git/objects/info/alternates "
	    ".git/packed-refs .git/objects/pack/x.idx; do "
	    "mkdir -p $(dirname $f); rm -f $f; mkfifo $f || exit 1; done; "
	    "echo d >d",
	    "git show $B:d && git show $B:a && ! git show $B:.gitignore",
	    NULL },
	{ "a link to a pipe", "mkfifo ../p; ln -s ../p .gitmodules; echo d >d",
	    "git show $B:d", NULL },
	{ "replaced history",
	    "echo d >d && git add d && git " IDENTITY " commit -qm d && "
	    "git replace HEAD v1",
	    "git show $B:d", NULL },
};

START_TEST(work_of_a_tool)
{
	int64_t from;

	clone_it();
	(void)sh("%s", rows[_i].tool);
	from = clock_boot_ms();
	harvest();
	ck_assert_msg(
	    clock_boot_ms() - from < 20000, "%s: too long", rows[_i].name);
	if (rows[_i].look == NULL) {
		ck_assert_msg(r.end == GIT_NOTHING && r.why[0] == '\0',
		    "%s: %d %s", rows[_i].name, r.end, r.why);
		return;
	}
	if (rows[_i].look[0] == '\0') {
		ck_assert_msg(r.end == GIT_FAILED && r.bytes == 0, "%s: %d",
		    rows[_i].name, r.end);
	} else {
		fetched("%s", rows[_i].look);
	}
	if (rows[_i].why == NULL)
		ck_assert_msg(r.why[0] == '\0', "%s: %s", rows[_i].name, r.why);
	else
		ck_assert_msg(strstr(r.why, rows[_i].why) != NULL, "%s: %s",
		    rows[_i].name, r.why);
}
END_TEST

/* Whatever could have made git run something; each would leave a mark. */
START_TEST(nothing_runs)
{
	clone_it();
	ck_assert_int_eq(
	    sh("printf '#!/bin/sh\\ntouch $D/mark\\ncat\\n' >$D/evil && "
	       "sed -i \"s,\\$D,$D,\" $D/evil && chmod +x $D/evil && "
	       "for k in core.fsmonitor core.sshCommand core.editor core.pager "
	       "filter.x.clean filter.x.smudge filter.x.process gpg.program "
	       "diff.external credential.helper core.askPass "
	       "core.alternateRefsCommand uploadpack.packObjectsHook "
	       "alias.add alias.rev-parse alias.commit-tree; do "
	       "git config $k $D/evil; done; git config filter.x.required true; "
	       "git config core.hooksPath $D/hooks; "
	       "git config commit.gpgSign true; mkdir -p $D/hooks .git/hooks; "
	       "for h in pre-commit post-commit reference-transaction "
	       "post-index-change post-checkout; do "
	       "cp $D/evil $D/hooks/$h; cp $D/evil .git/hooks/$h; done; "
	       "echo '* filter=x diff=x' >.gitattributes; "
	       "echo '* filter=x' >.git/info/attributes; "
	       "echo d >d; rm -f $D/mark"),
	    0);
	harvest();
	fetched("test $(git show $B:d) = d");
	ck_assert_int_ne(sh("test -e $D/mark"), 0);
}
END_TEST

/*
 * Each way alone: what the tool leaves, and a plain git that shows that it is
 * one. MISSING is the name of a commit that nobody has.
 */
#define MISSING "1111111111111111111111111111111111111111"
#define PROMISOR                                                  \
	"git config core.repositoryformatversion 1 && "           \
	"git config extensions.partialClone origin && "           \
	"git config remote.origin.promisor true && echo " MISSING \
	" >.git/HEAD && "
#define INNER                                                         \
	"git init -q inner && cd inner && echo x >x && git add x && " \
	"git " IDENTITY " commit -qm i && cd .. && git add inner && " \
	"git " IDENTITY " commit -qm inner && "

static const struct {
	const char *name, *leaves, *plain;
} ways[] = {
	{ "a fetch by ext",
	    PROMISOR "git config remote.origin.url \"ext::$D/evil %S\" && "
	             "git config protocol.ext.allow always",
	    "git rev-parse -q --verify 'HEAD^{commit}'" },
	{ "a fetch by upload-pack",
	    PROMISOR "git config remote.origin.url $D/origin && "
	             "git config remote.origin.uploadpack $D/evil && "
	             "git config protocol.file.allow always",
	    "git rev-parse -q --verify 'HEAD^{commit}'" },
	{ "a fetch by ssh",
	    PROMISOR "git config remote.origin.url ssh://localhost/x && "
	             "git config core.sshCommand $D/evil && "
	             "git config protocol.ssh.allow always",
	    "git rev-parse -q --verify 'HEAD^{commit}'" },
	{ "fsmonitor", "git config core.fsmonitor $D/evil", "git status" },
	{ "a filter",
	    "git config filter.x.clean $D/evil && "
	    "echo '* filter=x' >.gitattributes",
	    "git add -n a; git add .gitattributes" },
	{ "a filter process",
	    "git config filter.x.process $D/evil && "
	    "echo '* filter=x' >.gitattributes",
	    "git add .gitattributes" },
	{ "a hook",
	    "mkdir -p .git/hooks && "
	    "cp $D/evil .git/hooks/post-index-change && "
	    "cp $D/evil .git/hooks/reference-transaction",
	    "git update-ref refs/heads/x HEAD" },
	{ "a hook elsewhere",
	    "mkdir -p $D/hooks && git config core.hooksPath $D/hooks && "
	    "cp $D/evil $D/hooks/reference-transaction",
	    "git update-ref refs/heads/x HEAD" },
	{ "gpg",
	    "git config commit.gpgSign true && "
	    "git config gpg.program $D/evil",
	    "git " IDENTITY " commit -q --allow-empty -m x" },
	{ "an alias", "git config alias.x \"!$D/evil\"", "git x" },
	{ "textconv",
	    "git config diff.x.textconv $D/evil && git config diff.external "
	    "$D/evil && echo '* diff=x' >.gitattributes; echo e >>a",
	    "git diff" },
	{ "fsmonitor within",
	    INNER "git -C inner config core.fsmonitor $D/evil", "git status" },
	{ "a filter within",
	    INNER "git -C inner config filter.x.clean $D/evil && "
	          "echo '* filter=x' >inner/.gitattributes && echo y >inner/x",
	    "git status" },
};

START_TEST(no_way_to_run)
{
	clone_it();
	ck_assert_int_eq(
	    sh("printf '#!/bin/sh\\ntouch '$D'/mark\\ncat\\n' >$D/evil && "
	       "chmod +x $D/evil && %s",
	        ways[_i].leaves),
	    0);
	/* What it runs there may wait for more. */
	(void)sh("timeout 1 sh -c \"%s\" </dev/null", ways[_i].plain);
	ck_assert_msg(sh("rm $D/mark") == 0, "%s: no way", ways[_i].name);
	ck_assert_int_eq(sh("echo d >d"), 0);
	harvest();
	fetched("test $(git show $B:d) = d");
	ck_assert_msg(sh("test -e $D/mark") != 0, "%s", ways[_i].name);
}
END_TEST

/* Of a git that could, so that only the bound holds. */
START_TEST(makes_no_process)
{
	const char *const args[] = { "status", NULL };
	struct git g;

	clone_it();
	ck_assert_int_eq(
	    sh("printf '#!/bin/sh\\ntouch '$D'/mark\\n' >$D/evil && "
	       "chmod +x $D/evil && " INNER
	       "git -C inner config filter.x.clean $D/evil && "
	       "echo '* filter=x' >inner/.gitattributes && echo y >inner/x"),
	    0);
	ck_assert_int_eq(git_open(&g, &job, "", 10000), 0);
	g.alone = true;
	ck_assert_int_ne(git_run(&g, work, 10000, 0, args), 0);
	ck_assert_int_ne(sh("test -e $D/mark"), 0);
	g.alone = false;
	ck_assert_int_eq(git_run(&g, work, 10000, 0, args), 0);
	ck_assert_int_eq(sh("test -e $D/mark"), 0);
	git_close(&g);
}
END_TEST

START_TEST(too_large)
{
	clone_it();
	job.bundle_max = 100 * 1024;
	ck_assert_int_eq(
	    sh("head -c 1000000 /dev/urandom >big && git add big && "
	       "git " IDENTITY " commit -qm big"),
	    0);
	harvest();
	ck_assert_int_eq(r.end, GIT_FAILED);
	ck_assert_msg(strstr(r.why, "larger than 102400") != NULL, "%s", r.why);
	ck_assert_int_gt(r.bytes, 100 * 1024);
	ck_assert_str_eq(r.bundle, "");
}
END_TEST

/* A file that cannot be read costs itself only. */
START_TEST(unreadable)
{
	if (geteuid() == 0) {
		pid_t pid = fork();
		int status;

		if (pid != 0) {
			ck_assert_int_eq(waitpid(pid, &status, 0), pid);
			ck_assert_int_eq(status, 0);
			return;
		}
		ck_assert_int_eq(chown(dir, 65534, 65534), 0);
		ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	}
	clone_it();
	ck_assert_int_eq(sh("echo x >secret && chmod 0 secret; echo d >d"), 0);
	harvest();
	fetched("git show $B:d && ! git show $B:secret");
	ck_assert_msg(strstr(r.why,
	                  "some of what was not committed is missing: "
	                  "error: open(\"secret\")") != NULL,
	    "%s", r.why);
	ck_assert_int_eq(sh("rm -f secret && mkdir dark && echo x >dark/x && "
	                    "chmod 0 dark"),
	    0);
	harvest();
	fetched("git show $B:d && ! git show $B:dark/x");
	ck_assert_msg(strstr(r.why, "could not open directory 'dark/'") != NULL,
	    "%s", r.why);
	ck_assert_int_eq(sh("chmod 700 dark"), 0);
	if (getuid() == 65534)
		_exit(0);
}
END_TEST

START_TEST(sha256)
{
	ck_assert_int_eq(
	    sh("git init -q --object-format=sha256 -b main seed && cd seed && "
	       "echo one >a && git add -A && git " IDENTITY
	       " commit -qm first && cd .. && git clone -q --bare seed origin"),
	    0);
	git_clone(&job, &r);
	ck_assert_msg(r.end == GIT_DONE, "%s", r.why);
	ck_assert_uint_eq(strlen(r.base), 64);
	(void)strlcpy(job.base_commit, r.base, sizeof(job.base_commit));
	ck_assert_int_eq(sh("echo d >d"), 0);
	harvest();
	fetched("git show $B:d");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entrypoint_git");
	TCase *t = tcase_create("git");
	SRunner *run;
	int failed;

	tcase_set_timeout(t, 100);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, clone_default);
	tcase_add_test(t, clone_branch);
	tcase_add_test(t, clone_no_branch);
	tcase_add_test(t, clone_no_origin);
	tcase_add_test(t, clone_odd_bytes);
	tcase_add_loop_test(t, clone_protocols, 0, 5);
	tcase_add_test(t, clone_empty);
	tcase_add_loop_test(
	    t, work_of_a_tool, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(t, nothing_runs);
	tcase_add_loop_test(
	    t, no_way_to_run, 0, (int)(sizeof(ways) / sizeof(ways[0])));
	tcase_add_test(t, makes_no_process);
	tcase_add_test(t, too_large);
	tcase_add_test(t, unreadable);
	tcase_add_test(t, sha256);
	suite_add_tcase(s, t);
	run = srunner_create(s);
	srunner_run_all(run, CK_NORMAL);
	failed = srunner_ntests_failed(run);
	srunner_free(run);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
