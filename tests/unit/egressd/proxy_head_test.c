/*
 * The request head: every row is fed whole, byte by byte, split in two at
 * every offset, and with bytes of the tunnel behind it. The verdict must not
 * depend on that.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/egressd.h"

#define IN(literal) literal, sizeof(literal) - 1
#define GOOD "Host: good.com:443\r\n\r\n"

struct row {
	const char *name;
	const char *in;
	size_t len;
	int r;
	enum egress_code code;
	const char *target; /* NULL: none known */
	bool connect;
	const char *host; /* on success */
	uint16_t port;
};

#define TUNNEL(name, in, target, host, port)                       \
	{                                                          \
		name, IN(in), 1, CODE_ok, target, true, host, port \
	}
#define PLAIN(name, in, target, host, port)                         \
	{                                                           \
		name, IN(in), 1, CODE_ok, target, false, host, port \
	}
#define BAD(name, in, target)                                            \
	{                                                                \
		name, IN(in), -1, CODE_malformed, target, false, NULL, 0 \
	}
#define ALIEN(name, in)                                                \
	{                                                              \
		name, IN(in), -1, CODE_not_http1, NULL, false, NULL, 0 \
	}
#define MORE(name, in, target)                                   \
	{                                                        \
		name, IN(in), 0, CODE_ok, target, false, NULL, 0 \
	}

/* A CONNECT that fails by its target alone. */
#define AUTHORITY(name, target) \
	BAD(name, "CONNECT " target " HTTP/1.1\r\n" GOOD, target)

static const struct row rows[] = {
	TUNNEL("connect", "CONNECT good.com:443 HTTP/1.1\r\n" GOOD,
	    "good.com:443", "good.com", 443),
	TUNNEL("connect, other port",
	    "CONNECT good.com:8443 HTTP/1.1\r\nHost: good.com:8443\r\n\r\n",
	    "good.com:8443", "good.com", 8443),
	TUNNEL("curl",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com:443\r\n"
	    "User-Agent: curl/7.88.1\r\nProxy-Connection: Keep-Alive\r\n\r\n",
	    "good.com:443", "good.com", 443),
	TUNNEL("undici: host without port, lower case",
	    "CONNECT good.com:443 HTTP/1.1\r\nhost: good.com\r\n"
	    "connection: close\r\n\r\n",
	    "good.com:443", "good.com", 443),
	TUNNEL("IPv4 literal",
	    "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n",
	    "192.0.2.1:443", "192.0.2.1", 443),
	TUNNEL("IPv6 literal",
	    "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"
	    "Host: [2001:db8::1]\r\n\r\n",
	    "[2001:db8::1]:443", "2001:db8::1", 443),
	TUNNEL("value empty, white space around, every printable byte",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost:\t good.com \t\r\n"
	    "X-Empty:\r\nx!#$%&'*+-.^_`|~9: \" \x7e:\t\\ \r\n\r\n",
	    "good.com:443", "good.com", 443),

	/* A: authority */
	BAD("A1 NUL then a good name",
	    "CONNECT evil.com\0.good.com:443 HTTP/1.1\r\n" GOOD, "evil.com"),
	BAD("A1 NUL then a bad name",
	    "CONNECT good.com\0.evil.com:443 HTTP/1.1\r\n" GOOD, "good.com"),
	BAD("A2 tab in the authority",
	    "CONNECT good\t.com:443 HTTP/1.1\r\n" GOOD, "good\t"),
	BAD("A2 0x01", "CONNECT g\001.com:443 HTTP/1.1\r\n" GOOD, "g\001"),
	BAD("A2 ESC", "CONNECT g\033[2J:443 HTTP/1.1\r\n" GOOD, "g\033"),
	BAD("A2 0x7f", "CONNECT g\177.com:443 HTTP/1.1\r\n" GOOD, "g\177"),
	BAD("A2 0x80", "CONNECT g\200.com:443 HTTP/1.1\r\n" GOOD, "g\200"),
	BAD("A2 0xff", "CONNECT g\377.com:443 HTTP/1.1\r\n" GOOD, "g\377"),
	BAD("A2 raw UTF-8", "CONNECT b\303\274cher.de:443 HTTP/1.1\r\n" GOOD,
	    "b\303"),
	BAD("A2 U+3002 as dot",
	    "CONNECT good\343\200\202com:443 HTTP/1.1\r\n" GOOD, "good\343"),
	BAD("A2 U+FF0E as dot",
	    "CONNECT good\357\274\216com:443 HTTP/1.1\r\n" GOOD, "good\357"),
	BAD("A2 soft hyphen", "CONNECT go\302\255od.com:443 HTTP/1.1\r\n" GOOD,
	    "go\302"),
	BAD("A2 space in the authority",
	    "CONNECT good .com:443 HTTP/1.1\r\n" GOOD, "good"),
	AUTHORITY("A3 escaped dot", "evil%2ecom:443"),
	AUTHORITY("A3 escaped NUL", "evil%00.good.com:443"),
	AUTHORITY("A3 zone", "[fe80::1%eth0]:443"),
	AUTHORITY("A3 zone without brackets", "fe80::1%eth0:443"),
	AUTHORITY("A3 zone that is a name", "[::ffff:1.2.3.4%x.good.com]:443"),
	AUTHORITY("A4 name in brackets", "[good.com]:443"),
	AUTHORITY("A4 brackets inside", "a]b[c:443"),
	AUTHORITY("A4 never closed", "[::1:443"),
	AUTHORITY("A4 no colon", "[::1]443"),
	AUTHORITY("A4 empty", "[]:443"),
	TUNNEL("A5 trailing dot", "CONNECT good.com.:443 HTTP/1.1\r\n" GOOD,
	    "good.com.:443", "good.com", 443),
	TUNNEL("A5 trailing dot in Host",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com.\r\n\r\n",
	    "good.com:443", "good.com", 443),
	AUTHORITY("A5 two trailing dots", "good.com..:443"),
	AUTHORITY("A5 leading dot", ".good.com:443"),
	AUTHORITY("A5 empty label", "a..b:443"),
	TUNNEL("A6 upper case", "CONNECT GOOD.CoM:443 HTTP/1.1\r\n" GOOD,
	    "GOOD.CoM:443", "good.com", 443),
	AUTHORITY("A7 no port", "good.com"),
	AUTHORITY("A7 empty port", "good.com:"),
	AUTHORITY("A7 no host", ":443"),
	AUTHORITY("A7 two ports", "good.com:443:80"),
	AUTHORITY("A7 port 0", "good.com:0"),
	AUTHORITY("A7 port 65536", "good.com:65536"),
	AUTHORITY("A7 port +443", "good.com:+443"),
	AUTHORITY("A7 port 0443", "good.com:0443"),
	BAD("A7 port after a space", "CONNECT good.com: 443 HTTP/1.1\r\n" GOOD,
	    "good.com:"),
	AUTHORITY("A7 port 443x", "good.com:443x"),
	AUTHORITY("A7 port 4_43", "good.com:4_43"),
	AUTHORITY("A8 user", "user@good.com:443"),
	AUTHORITY("A8 user and password", "u:p@good.com:443"),
	AUTHORITY("A8 host behind the port", "good.com:443@evil.com"),
	AUTHORITY("A8 http", "http://good.com:443"),
	AUTHORITY("A8 path", "good.com/x:443"),
	AUTHORITY("A8 path behind", "good.com:443/x"),
	AUTHORITY("A8 backslash", "good.com\\x:443"),
	AUTHORITY("A8 query", "good.com?x:443"),
	AUTHORITY("A8 fragment", "good.com#x:443"),
	AUTHORITY("A9 127.1", "127.1:443"),
	AUTHORITY("A9 one number", "2130706433:443"),
	AUTHORITY("A9 hexadecimal", "0x7f.1:443"),
	AUTHORITY("A9 octal", "0177.0.0.1:443"),
	AUTHORITY("A9 three numbers", "1.2.3:443"),
	AUTHORITY("A9 name that ends in a number", "good.com.1:443"),
	AUTHORITY("A10 leading hyphen", "-good.com:443"),
	AUTHORITY("A10 trailing hyphen", "good-.com:443"),
	TUNNEL("A10 underscore is left to the rules",
	    "CONNECT a_b.good.com:443 HTTP/1.1\r\nHost: a_b.good.com\r\n\r\n",
	    "a_b.good.com:443", "a_b.good.com", 443),
	TUNNEL("A11 A-label",
	    "CONNECT xn--bcher-kva.de:443 HTTP/1.1\r\n"
	    "Host: xn--bcher-kva.de\r\n\r\n",
	    "xn--bcher-kva.de:443", "xn--bcher-kva.de", 443),

	/* A: form */
	BAD("A16 lower-case method", "connect good.com:443 HTTP/1.1\r\n" GOOD,
	    NULL),
	BAD("A16 mixed-case method", "CONNECt good.com:443 HTTP/1.1\r\n" GOOD,
	    NULL),
	BAD("A16 get", "get http://good.com/ HTTP/1.1\r\n" GOOD, NULL),
	BAD("A16 colon in the method",
	    "CON:NECT good.com:443 HTTP/1.1\r\n" GOOD, NULL),
	BAD("A16 two spaces before the target",
	    "CONNECT  good.com:443 HTTP/1.1\r\n" GOOD, NULL),
	BAD("A16 two spaces behind the target",
	    "CONNECT good.com:443  HTTP/1.1\r\n" GOOD, "good.com:443"),
	BAD("A16 space behind the version",
	    "CONNECT good.com:443 HTTP/1.1 \r\n" GOOD, "good.com:443"),
	BAD("A16 tab for a space", "CONNECT\tgood.com:443 HTTP/1.1\r\n" GOOD,
	    NULL),
	BAD("A16 tab before the version",
	    "CONNECT good.com:443\tHTTP/1.1\r\n" GOOD, "good.com:443\t"),
	BAD("A16 HTTP/1.2", "CONNECT good.com:443 HTTP/1.2\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 HTTP/2.0", "CONNECT good.com:443 HTTP/2.0\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 HTTP/0.9", "CONNECT good.com:443 HTTP/0.9\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 HTTP/1.10", "CONNECT good.com:443 HTTP/1.10\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 HTTP/1.4294967297",
	    "CONNECT good.com:443 HTTP/1.4294967297\r\n" GOOD, "good.com:443"),
	BAD("A16 http/1.1", "CONNECT good.com:443 http/1.1\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 no version", "CONNECT good.com:443\r\n" GOOD, "good.com:443"),
	BAD("A16 empty version", "CONNECT good.com:443 \r\n" GOOD,
	    "good.com:443"),
	BAD("A16 method alone", "CONNECT\r\n" GOOD, NULL),
	BAD("A16 no target", "CONNECT \r\n" GOOD, NULL),
	BAD("A16 bare LF behind the request line",
	    "CONNECT good.com:443 HTTP/1.1\n" GOOD, "good.com:443"),
	BAD("A16 bare LF for a version", "CONNECT good.com:443\n" GOOD,
	    "good.com:443"),
	BAD("A16 bare CR behind the request line",
	    "CONNECT good.com:443 HTTP/1.1\rHost: good.com\r\n\r\n",
	    "good.com:443"),
	BAD("A16 two CR", "CONNECT good.com:443 HTTP/1.1\r\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 bare LF behind a field",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com\n\r\n",
	    "good.com:443"),
	BAD("A16 bare CR in a field",
	    "CONNECT good.com:443 HTTP/1.1\r\nX: a\rb\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 bare LF for the blank line",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com\r\n\n",
	    "good.com:443"),
	BAD("A16 bare CR for the blank line",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com\r\n\rX",
	    "good.com:443"),
	BAD("A16 folded with a space",
	    "CONNECT good.com:443 HTTP/1.1\r\nX: a\r\n b\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 folded with a tab",
	    "CONNECT good.com:443 HTTP/1.1\r\nX: a\r\n\tb\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 folded before the first field",
	    "CONNECT good.com:443 HTTP/1.1\r\n " GOOD, "good.com:443"),
	BAD("A16 NUL in a value",
	    "CONNECT good.com:443 HTTP/1.1\r\nX: a\0b\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 NUL in a name",
	    "CONNECT good.com:443 HTTP/1.1\r\nX\0: a\r\n" GOOD, "good.com:443"),
	BAD("A16 NUL as the first byte of a name",
	    "CONNECT good.com:443 HTTP/1.1\r\n\0: a\r\n" GOOD, "good.com:443"),
	BAD("A16 NUL in the version",
	    "CONNECT good.com:443 HTTP/1.1\0\r\n" GOOD, "good.com:443"),
	BAD("A16 space before the colon",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost : good.com\r\n\r\n",
	    "good.com:443"),
	BAD("A16 tab before the colon",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost\t: good.com\r\n\r\n",
	    "good.com:443"),
	BAD("A16 field without colon",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost\r\n\r\n", "good.com:443"),
	BAD("A16 field without name",
	    "CONNECT good.com:443 HTTP/1.1\r\n: x\r\n" GOOD, "good.com:443"),
	BAD("A16 name with a byte that is no token",
	    "CONNECT good.com:443 HTTP/1.1\r\nX(y): x\r\n" GOOD,
	    "good.com:443"),
	BAD("A16 name with 0x80",
	    "CONNECT good.com:443 HTTP/1.1\r\nX\200: x\r\n" GOOD,
	    "good.com:443"),
	BAD("H1 ESC in a value",
	    "CONNECT good.com:443 HTTP/1.1\r\nX: \033[2J\r\n" GOOD,
	    "good.com:443"),
	BAD("H1 U+202E in a value",
	    "CONNECT good.com:443 HTTP/1.1\r\nX: \342\200\256\r\n" GOOD,
	    "good.com:443"),
	BAD("H1 0x7f in a value",
	    "CONNECT good.com:443 HTTP/1.1\r\nX: \177\r\n" GOOD,
	    "good.com:443"),
	BAD("E6 0xff in a value",
	    "CONNECT good.com:443 HTTP/1.1\r\nX: \377\r\n" GOOD,
	    "good.com:443"),
	BAD("empty line first", "\r\nCONNECT good.com:443 HTTP/1.1\r\n" GOOD,
	    NULL),
	BAD("two empty lines first",
	    "\r\n\r\nCONNECT good.com:443 HTTP/1.1\r\n" GOOD, NULL),
	BAD("bare LF first", "\nCONNECT good.com:443 HTTP/1.1\r\n" GOOD, NULL),
	BAD("bare CR first", "\rCONNECT good.com:443 HTTP/1.1\r\n" GOOD, NULL),

	/* A17 */
	BAD("A17 two Host fields",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com:443\r\n" GOOD,
	    "good.com:443"),
	BAD("A17 two Host fields, other case",
	    "CONNECT good.com:443 HTTP/1.1\r\nhOST: good.com:443\r\n" GOOD,
	    "good.com:443"),
	BAD("A17 other host",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: evil.com:443\r\n\r\n",
	    "good.com:443"),
	BAD("A17 other host first",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: evil.com\r\n" GOOD,
	    "good.com:443"),
	BAD("A17 other port",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com:8443\r\n\r\n",
	    "good.com:443"),
	BAD("A17 no port is 443",
	    "CONNECT good.com:8443 HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "good.com:8443"),
	BAD("A17 empty Host", "CONNECT good.com:443 HTTP/1.1\r\nHost:\r\n\r\n",
	    "good.com:443"),
	BAD("A17 two hosts in one Host",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com, evil.com\r\n"
	    "\r\n",
	    "good.com:443"),
	BAD("A17 user in Host",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: u@good.com\r\n\r\n",
	    "good.com:443"),
	BAD("A17 empty port in Host",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com:\r\n\r\n",
	    "good.com:443"),
	BAD("A17 HTTP/1.1 without Host",
	    "CONNECT good.com:443 HTTP/1.1\r\n\r\n", "good.com:443"),
	BAD("A17 HTTP/1.1 with other fields, without Host",
	    "CONNECT good.com:443 HTTP/1.1\r\nHosts: good.com\r\n"
	    "Hos: good.com\r\n\r\n",
	    "good.com:443"),
	TUNNEL("A17 HTTP/1.0 without Host",
	    "CONNECT good.com:443 HTTP/1.0\r\n\r\n", "good.com:443", "good.com",
	    443),
	TUNNEL("A17 HTTP/1.0 without Host, with a field (Java)",
	    "CONNECT good.com:443 HTTP/1.0\r\nUser-Agent: Java/17\r\n\r\n",
	    "good.com:443", "good.com", 443),
	BAD("A17 HTTP/1.0 with another Host",
	    "CONNECT good.com:443 HTTP/1.0\r\nHost: evil.com\r\n\r\n",
	    "good.com:443"),
	BAD("A17 Content-Length",
	    "CONNECT good.com:443 HTTP/1.1\r\nContent-Length: 5\r\n" GOOD,
	    "good.com:443"),
	BAD("A17 Content-Length: 0",
	    "CONNECT good.com:443 HTTP/1.1\r\ncontent-length: 0\r\n" GOOD,
	    "good.com:443"),
	BAD("A17 Transfer-Encoding",
	    "CONNECT good.com:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" GOOD,
	    "good.com:443"),

	/* A19 */
	BAD("A19 https", "GET https://good.com/ HTTP/1.1\r\n" GOOD,
	    "https://good.com/"),
	BAD("A19 HTTPS", "GET HTTPS://good.com/ HTTP/1.1\r\n" GOOD,
	    "HTTPS://good.com/"),
	BAD("A19 origin form", "GET / HTTP/1.1\r\n" GOOD, "/"),
	BAD("A19 origin form, two slashes", "GET //good.com/ HTTP/1.1\r\n" GOOD,
	    "//good.com/"),
	BAD("A19 CONNECT in origin form", "CONNECT / HTTP/1.1\r\n" GOOD, "/"),
	BAD("A19 TRACE", "TRACE http://good.com/ HTTP/1.1\r\n" GOOD,
	    "http://good.com/"),
	BAD("A19 OPTIONS *", "OPTIONS * HTTP/1.1\r\n" GOOD, "*"),
	BAD("A19 authority form with GET", "GET good.com:443 HTTP/1.1\r\n" GOOD,
	    "good.com:443"),
	BAD("A19 ftp", "GET ftp://good.com/ HTTP/1.1\r\n" GOOD,
	    "ftp://good.com/"),
	BAD("A19 http:/", "GET http:/good.com/ HTTP/1.1\r\n" GOOD,
	    "http:/good.com/"),

	/* A20 */
	ALIEN("A20 TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"),
	ALIEN("A20 TLS hello, first byte", "\x16"),
	ALIEN("A20 SSLv2 hello", "\x80\x2e\x01\x03\x01"),
	ALIEN("A20 SOCKS4", "\x04\x01\x01\xbb\x01\x02\x03\x04"),
	ALIEN("A20 SOCKS5", "\x05\x01"),
	ALIEN("A20 PROXY v1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"),
	ALIEN("A20 PROXY v1, its first bytes", "PROXY "),
	ALIEN("A20 PROXY v2", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"),
	ALIEN("A20 PROXY v2, its first bytes", "\r\n\r\n\0"),
	ALIEN("A20 HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	ALIEN("A20 NUL", "\0"),
	ALIEN("A20 a space", " CONNECT good.com:443 HTTP/1.1\r\n" GOOD),
	ALIEN("A20 JSON", "{\"a\":1}"),
	ALIEN("A20 0xff", "\xff\xfb\x01"),
	BAD("A20 SSH", "SSH-2.0-OpenSSH_9.2\r\n", NULL),
	BAD("A20 a method that begins like PROXY", "PROXY\r\n", NULL),

	/* Plain HTTP */
	PLAIN("GET", "GET http://good.com/ HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://good.com/", "good.com", 80),
	PLAIN("GET, port 80 spelt",
	    "GET http://good.com:80/a?b HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://good.com:80/a?b", "good.com", 80),
	PLAIN("scheme and host in upper case",
	    "GET HTTP://GOOD.com/X HTTP/1.1\r\nHost: good.com:80\r\n\r\n",
	    "HTTP://GOOD.com/X", "good.com", 80),
	PLAIN("POST with a body, other port",
	    "POST http://good.com:8080/x HTTP/1.1\r\nHost: good.com:8080\r\n"
	    "Content-Length: 5\r\n\r\n",
	    "http://good.com:8080/x", "good.com", 8080),
	PLAIN("unknown method is left to the policy",
	    "M-SEARCH http://good.com/ HTTP/1.0\r\n\r\n", "http://good.com/",
	    "good.com", 80),
	PLAIN("address", "GET http://[::1]:81/ HTTP/1.0\r\n\r\n",
	    "http://[::1]:81/", "::1", 81),
	BAD("E1 another Host",
	    "GET http://good.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n",
	    "http://good.com/"),
	BAD("E1 Host of port 443",
	    "GET http://good.com/ HTTP/1.1\r\nHost: good.com:443\r\n\r\n",
	    "http://good.com/"),
	BAD("E1 no Host", "GET http://good.com/ HTTP/1.1\r\n\r\n",
	    "http://good.com/"),
	BAD("plain, user",
	    "GET http://u@good.com/ HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://u@good.com/"),
	BAD("plain, user with a slash",
	    "GET http://good.com/@evil.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n",
	    "http://good.com/@evil.com/"),
	BAD("plain, backslash",
	    "GET http://good.com\\@evil.com/ HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://good.com\\@evil.com/"),
	BAD("plain, fragment",
	    "GET http://good.com/#x HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://good.com/#x"),
	BAD("plain, no path",
	    "GET http://good.com HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://good.com"),
	BAD("plain, query without path",
	    "GET http://good.com?x=/ HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://good.com?x=/"),
	BAD("plain, no host", "GET http:/// HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http:///"),
	BAD("plain, empty port",
	    "GET http://good.com:/ HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://good.com:/"),
	BAD("plain, 0x80 in the path",
	    "GET http://good.com/\200 HTTP/1.1\r\nHost: good.com\r\n\r\n",
	    "http://good.com/\200"),

	/* Not enough yet */
	MORE("nothing", "", NULL),
	MORE("a method", "CONNECT", NULL),
	MORE("half a target", "CONNECT good.c", "good.c"),
	MORE("no LF", "CONNECT good.com:443 HTTP/1.1\r", "good.com:443"),
	MORE("no blank line",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com\r\n",
	    "good.com:443"),
	MORE("half a blank line",
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com\r\n\r",
	    "good.com:443"),
};

#define NROWS ((int)(sizeof(rows) / sizeof(rows[0])))

/* Each call sees a copy of its own, of exactly that size. */
static int
parse_copy(struct proxy_head *h, const char *in, size_t len, char **copy)
{
	*copy = malloc(len > 0 ? len : 1);
	ck_assert_ptr_nonnull(*copy);
	memcpy(*copy, in, len);
	return proxy_head_parse(h, *copy, len);
}

static void
check_target(const struct row *row, const struct proxy_head *h)
{
	if (row->target == NULL) {
		ck_assert_msg(h->target == NULL && h->target_len == 0,
		    "%s: target known", row->name);
		return;
	}
	ck_assert_msg(h->target != NULL, "%s: no target", row->name);
	/* A NUL that was refused stands behind the text of the row. */
	ck_assert_msg(h->target_len == strlen(row->target) ||
	        (h->target_len == strlen(row->target) + 1 &&
	            h->target[h->target_len - 1] == '\0'),
	    "%s: target of %zu bytes", row->name, h->target_len);
	ck_assert_msg(memcmp(h->target, row->target, strlen(row->target)) == 0,
	    "%s: target", row->name);
}

static void
check_row(const struct row *row, const struct proxy_head *h, int r)
{
	ck_assert_msg(r == row->r, "%s: got %d (%s)", row->name, r,
	    r == -1 ? h->reason : "");
	check_target(row, h);
	if (r == -1) {
		ck_assert_msg(h->code == row->code, "%s: code", row->name);
		ck_assert_msg(h->reason != NULL && *h->reason != '\0',
		    "%s: no reason", row->name);
	} else if (r == 1) {
		ck_assert_msg(
		    h->connect == row->connect, "%s: connect", row->name);
		ck_assert_str_eq(h->dest.name, row->host);
		ck_assert_uint_eq(h->dest.port, row->port);
		/* What lies behind is the tunnel's and was not looked at. */
		ck_assert_uint_eq(h->scanned, h->len);
		ck_assert_msg(
		    h->len == row->len, "%s: %zu bytes", row->name, h->len);
	}
}

static void
check_same(const struct row *row, const struct proxy_head *a,
    const struct proxy_head *b)
{
	ck_assert_msg(a->code == b->code && a->reason == b->reason,
	    "%s: another reason", row->name);
	ck_assert_msg(a->scanned == b->scanned && a->len == b->len,
	    "%s: decided elsewhere", row->name);
	ck_assert_msg(a->target_start == b->target_start &&
	        a->target_len == b->target_len,
	    "%s: another target", row->name);
}

START_TEST(test_whole)
{
	const struct row *row = &rows[_i];
	struct proxy_head h;
	char *copy;
	int r;

	proxy_head_init(&h);
	r = parse_copy(&h, row->in, row->len, &copy);
	check_row(row, &h, r);
	free(copy);
}
END_TEST

START_TEST(test_split)
{
	const struct row *row = &rows[_i];
	struct proxy_head whole, h;
	char *copy;
	size_t at;
	int r;

	proxy_head_init(&whole);
	proxy_head_parse(&whole, row->in, row->len);
	for (at = 0; at <= row->len; at++) {
		proxy_head_init(&h);
		parse_copy(&h, row->in, at, &copy);
		free(copy);
		r = parse_copy(&h, row->in, row->len, &copy);
		check_row(row, &h, r);
		check_same(row, &whole, &h);
		free(copy);
	}
}
END_TEST

START_TEST(test_bytes)
{
	const struct row *row = &rows[_i];
	struct proxy_head whole, h;
	char *copy = NULL;
	size_t len;
	int r = 0;

	proxy_head_init(&whole);
	proxy_head_parse(&whole, row->in, row->len);
	proxy_head_init(&h);
	for (len = 0; len <= row->len; len++) {
		free(copy);
		ck_assert_msg(r == 0 || h.scanned == whole.scanned,
		    "%s: decided early", row->name);
		r = parse_copy(&h, row->in, len, &copy);
		ck_assert_msg(r == 0 || len >= whole.scanned,
		    "%s: decided early", row->name);
	}
	check_row(row, &h, r);
	check_same(row, &whole, &h);
	free(copy);
}
END_TEST

START_TEST(test_tunnel_behind)
{
	static const char tunnel[] = "\x16\x03\x01\0\x05\r\n\r\n";
	const struct row *row = &rows[_i];
	struct proxy_head h;
	char buf[1024];
	int r;

	if (row->r == 0)
		return;
	ck_assert_uint_le(row->len + sizeof(tunnel), sizeof(buf));
	memcpy(buf, row->in, row->len);
	memcpy(buf + row->len, tunnel, sizeof(tunnel));
	proxy_head_init(&h);
	r = proxy_head_parse(&h, buf, row->len + sizeof(tunnel));
	check_row(row, &h, r);
}
END_TEST

START_TEST(test_reasons)
{
	static const struct {
		const char *in, *want;
	} table[] = {
		{ "GET https://good.com/ HTTP/1.1\r\n",
		    "use CONNECT for https" },
		{ "TRACE http://good.com/ HTTP/1.1\r\n",
		    "TRACE is not served here" },
		{ "GET / HTTP/1.1\r\n",
		    "this is a proxy and serves no pages of its own" },
		{ "connect good.com:443 HTTP/1.1\r\n",
		    "the method must be in upper case" },
		{ "CONNECT good.com:443 HTTP/1.1\r\nHost: evil.com\r\n",
		    "the Host field names another destination than the "
		    "request line" },
	};
	struct proxy_head h;
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		proxy_head_init(&h);
		ck_assert_int_eq(
		    proxy_head_parse(&h, table[i].in, strlen(table[i].in)), -1);
		ck_assert_str_eq(h.reason, table[i].want);
	}
}
END_TEST

/* --- limits (A18) ----------------------------------------------------- */

/* Fed one byte a call; returns the verdict, *at how many bytes it took. */
static int
feed(const char *in, size_t len, struct proxy_head *h, size_t *at)
{
	struct proxy_head whole;
	int r = 0, w;

	proxy_head_init(h);
	for (*at = 0; *at < len && r == 0;)
		r = proxy_head_parse(h, in, ++*at);
	proxy_head_init(&whole);
	w = proxy_head_parse(&whole, in, len);
	ck_assert_int_eq(r, w);
	ck_assert_int_eq((int)h->code, (int)whole.code);
	ck_assert_uint_eq(h->len, whole.len);
	return r;
}

/* A request line of n bytes: GET http://good.com/xxxx HTTP/1.1 */
static size_t
make_line(char *buf, size_t n)
{
	static const char front[] = "GET http://good.com/";
	static const char back[] = " HTTP/1.1";
	size_t pad = n - strlen(front) - strlen(back);

	memcpy(buf, front, strlen(front));
	memset(buf + strlen(front), 'x', pad);
	memcpy(buf + strlen(front) + pad, back, strlen(back));
	memcpy(buf + n, "\r\n", 2);
	return n + 2;
}

START_TEST(test_line_limit)
{
	static const char rest[] = "Host: good.com\r\n\r\n";
	char *buf = malloc(16384);
	struct proxy_head h;
	size_t n, at;

	n = make_line(buf, 8192);
	memcpy(buf + n, rest, strlen(rest));
	n += strlen(rest);
	ck_assert_int_eq(feed(buf, n, &h, &at), 1);
	ck_assert_uint_eq(h.len, n);

	n = make_line(buf, 8193);
	memcpy(buf + n, rest, strlen(rest));
	ck_assert_int_eq(feed(buf, n + strlen(rest), &h, &at), -1);
	ck_assert_int_eq((int)h.code, (int)CODE_too_large);
	ck_assert_uint_eq(at, 8193);

	/* The target alone is longer; it is logged as far as it came. */
	memset(buf, 'x', 16384);
	memcpy(buf, "CONNECT ", 8);
	ck_assert_int_eq(feed(buf, 16384, &h, &at), -1);
	ck_assert_int_eq((int)h.code, (int)CODE_too_large);
	ck_assert_uint_eq(at, 8193);
	ck_assert_uint_eq(h.target_len, 8184);
	ck_assert_ptr_eq(h.target, buf + 8);

	/* So is the method. */
	memset(buf, 'X', 16384);
	ck_assert_int_eq(feed(buf, 16384, &h, &at), -1);
	ck_assert_int_eq((int)h.code, (int)CODE_too_large);
	ck_assert_uint_eq(at, 8193);
	ck_assert_ptr_null(h.target);
	free(buf);
}
END_TEST

/* A head of n bytes in all; one field holds the padding. */
static void
make_head(char *buf, size_t n)
{
	static const char front[] = "CONNECT good.com:443 HTTP/1.1\r\n"
	                            "Host: good.com:443\r\nX-Padding: ";
	size_t pad = n - strlen(front) - 4;

	memcpy(buf, front, strlen(front));
	memset(buf + strlen(front), 'x', pad);
	memcpy(buf + strlen(front) + pad, "\r\n\r\n", 4);
}

START_TEST(test_head_limit)
{
	char *buf = malloc(65536);
	struct proxy_head h;
	size_t at;

	memset(buf, 'x', 65536);
	make_head(buf, 32768);
	ck_assert_int_eq(feed(buf, 65536, &h, &at), 1);
	ck_assert_uint_eq(h.len, 32768);

	make_head(buf, 32769);
	ck_assert_int_eq(feed(buf, 32769, &h, &at), -1);
	ck_assert_int_eq((int)h.code, (int)CODE_too_large);
	ck_assert_uint_eq(at, 32768);
	ck_assert_uint_eq(h.target_len, strlen("good.com:443"));
	free(buf);
}
END_TEST

static size_t
make_fields(char *buf, size_t size, unsigned fields)
{
	int n = snprintf(buf, size,
	    "CONNECT good.com:443 HTTP/1.1\r\nHost: good.com:443\r\n");
	unsigned i;

	for (i = 1; i < fields; i++)
		n += snprintf(buf + n, size - (size_t)n, "X-%u: y\r\n", i);
	n += snprintf(buf + n, size - (size_t)n, "\r\n");
	return (size_t)n;
}

START_TEST(test_field_limit)
{
	char *buf = malloc(65536);
	struct proxy_head h;
	size_t n, at;

	n = make_fields(buf, 65536, 100);
	ck_assert_int_eq(feed(buf, n, &h, &at), 1);
	ck_assert_uint_eq(h.len, n);

	n = make_fields(buf, 65536, 101);
	ck_assert_int_eq(feed(buf, n, &h, &at), -1);
	ck_assert_int_eq((int)h.code, (int)CODE_too_large);
	/* Refused at the first byte of the 101st: "X-100: y", blank line. */
	ck_assert_uint_eq(at, n - 2 - strlen("X-100: y\r\n") + 1);
	free(buf);
}
END_TEST

/* A10: the longest label and name, and one more of each. */
START_TEST(test_name_limits)
{
	static const struct {
		size_t label, total;
		int r;
	} table[] = {
		{ 63, 80, 1 },
		{ 64, 80, -1 },
		{ 63, 253, 1 },
		{ 63, 254, -1 },
	};
	char name[300], buf[700];
	struct proxy_head h;
	size_t i, k, at, run;
	int n;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (k = 0, run = 0; k < table[i].total; k++) {
			if (run == table[i].label && k + 1 < table[i].total) {
				name[k] = '.';
				run = 0;
			} else {
				name[k] = 'a';
				run++;
			}
		}
		name[k] = '\0';
		n = snprintf(buf, sizeof(buf),
		    "CONNECT %s:443 HTTP/1.1\r\nHost: %s\r\n\r\n", name, name);
		ck_assert_msg(feed(buf, (size_t)n, &h, &at) == table[i].r,
		    "label %zu, name %zu", table[i].label, table[i].total);
	}
}
END_TEST

/* Eight million one-byte calls: quadratic work would not end in the time. */
START_TEST(test_linear)
{
	char *buf = malloc(32768);
	struct proxy_head h;
	size_t at;
	int i, r;

	make_head(buf, 32768);
	for (i = 0; i < 245; i++) {
		proxy_head_init(&h);
		r = 0;
		for (at = 1; at <= 32768; at++)
			r = proxy_head_parse(&h, buf, at);
		ck_assert_int_eq(r, 1);
	}
	free(buf);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_head");
	TCase *tc = tcase_create("head");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_whole, 0, NROWS);
	tcase_add_loop_test(tc, test_split, 0, NROWS);
	tcase_add_loop_test(tc, test_bytes, 0, NROWS);
	tcase_add_loop_test(tc, test_tunnel_behind, 0, NROWS);
	tcase_add_test(tc, test_reasons);
	tcase_add_test(tc, test_line_limit);
	tcase_add_test(tc, test_head_limit);
	tcase_add_test(tc, test_field_limit);
	tcase_add_test(tc, test_name_limits);
	tcase_add_test(tc, test_linear);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
