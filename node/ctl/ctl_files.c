#include "node/ctl/ctl_files.h"

#include <string.h>

#include "node/ctl/ctl_quote.h"
#include "node/tls/ca.h"

static int put_line(FILE *f, const char *before, enum ctl_quote how, const char *value, const char *after)
{
	fputs(before, f);
	if (ctl_quote_put(f, how, value) != 0)
		return -1;
	fputs(after, f);
	return 0;
}

/* Host and port are checked names and numbers: nothing in them needs an escape. An address loses its brackets. */
static int maven(FILE *f, const struct ctl_settings *s)
{
	size_t n = strlen(s->proxy_host);
	const char *host = s->proxy_host;

	if (host[0] == '[') {
		host++;
		n -= 2;
	}
	fprintf(f,
		"<settings>\n"
		"  <proxies>\n"
		"    <proxy>\n"
		"      <id>pmcache</id>\n"
		"      <active>true</active>\n"
		"      <protocol>http</protocol>\n" /* it is used for https origins, too */
		"      <host>%.*s</host>\n"
		"      <port>%s</port>\n"
		"      <nonProxyHosts>%s</nonProxyHosts>\n"
		"    </proxy>\n"
		"  </proxies>\n"
		"</settings>\n",
		(int)n, host, s->proxy_port, s->java_hosts);
	return 0;
}

static int gradle(FILE *f, const struct ctl_settings *s)
{
	if (put_line(f, "systemProp.http.proxyHost=", CTL_QUOTE_PROPERTIES, s->proxy_host, "\n") ||
	    put_line(f, "systemProp.http.proxyPort=", CTL_QUOTE_PROPERTIES, s->proxy_port, "\n") ||
	    put_line(f, "systemProp.https.proxyHost=", CTL_QUOTE_PROPERTIES, s->proxy_host, "\n") ||
	    put_line(f, "systemProp.https.proxyPort=", CTL_QUOTE_PROPERTIES, s->proxy_port, "\n") ||
	    put_line(f, "systemProp.http.nonProxyHosts=", CTL_QUOTE_PROPERTIES, s->java_hosts, "\n") ||
	    put_line(f, "systemProp.javax.net.ssl.trustStore=", CTL_QUOTE_PROPERTIES, s->store, "\n"))
		return -1;
	fputs("systemProp.javax.net.ssl.trustStorePassword=" CA_P12_PASSWORD "\n"
	      "systemProp.javax.net.ssl.trustStoreType=PKCS12\n",
	      f);
	return 0;
}

static int apt(FILE *f, const struct ctl_settings *s)
{
	return put_line(f, "Acquire::http::Proxy ", CTL_QUOTE_APT, s->proxy_url, ";\n") ||
	       put_line(f, "Acquire::https::Proxy ", CTL_QUOTE_APT, s->proxy_url, ";\n") ||
	       put_line(f, "Acquire::https::CAInfo ", CTL_QUOTE_APT, s->bundle, ";\n");
}

static int wget(FILE *f, const struct ctl_settings *s)
{
	return put_line(f, "use_proxy = on\nhttp_proxy = ", CTL_QUOTE_LINE, s->proxy_url, "\n") ||
	       put_line(f, "https_proxy = ", CTL_QUOTE_LINE, s->proxy_url, "\n") ||
	       put_line(f, "no_proxy = ", CTL_QUOTE_LINE, s->no_proxy, "\n") ||
	       put_line(f, "ca_certificate = ", CTL_QUOTE_LINE, s->bundle, "\n");
}

static int yarn(FILE *f, const struct ctl_settings *s)
{
	return put_line(f, "httpProxy: ", CTL_QUOTE_JSON, s->proxy_url, "\n") ||
	       put_line(f, "httpsProxy: ", CTL_QUOTE_JSON, s->proxy_url, "\n") ||
	       put_line(f, "httpsCaFilePath: ", CTL_QUOTE_JSON, s->bundle, "\n");
}

static int gem(FILE *f, const struct ctl_settings *s)
{
	return put_line(f, ":http_proxy: ", CTL_QUOTE_JSON, s->proxy_url, "\n") ||
	       put_line(f, ":ssl_ca_cert: ", CTL_QUOTE_JSON, s->bundle, "\n");
}

static int docker(FILE *f, const struct ctl_settings *s)
{
	return put_line(f, "[Service]\nEnvironment=\"HTTP_PROXY=", CTL_QUOTE_SYSTEMD, s->proxy_url, "\"\n") ||
	       put_line(f, "Environment=\"HTTPS_PROXY=", CTL_QUOTE_SYSTEMD, s->proxy_url, "\"\n") ||
	       put_line(f, "Environment=\"NO_PROXY=", CTL_QUOTE_SYSTEMD, s->no_proxy, "\"\n") ||
	       put_line(f, "Environment=\"SSL_CERT_FILE=", CTL_QUOTE_SYSTEMD, s->bundle, "\"\n");
}

static const struct {
	const char *name, *place;
	int (*put)(FILE *, const struct ctl_settings *);
} files[] = {
	{"maven", "~/.m2/settings.xml (the trust store goes into MAVEN_OPTS: pmcachectl env --java)", maven},
	{"gradle", "~/.gradle/gradle.properties", gradle},
	{"apt", "/etc/apt/apt.conf.d/95pmcache", apt},
	{"wget", "~/.wgetrc (GnuTLS builds of wget read the CA from here only)", wget},
	{"yarn", "~/.yarnrc.yml (yarn 4; 2 and 3 say caFilePath)", yarn},
	{"gem", "~/.gemrc (what stands there wins over the environment)", gem},
	{"docker", "/etc/systemd/system/docker.service.d/pmcache.conf", docker},
};

int ctl_files_put(FILE *f, const char *name, const struct ctl_settings *s, const char **which)
{
	int found = -1;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (name && strcmp(name, files[i].name) != 0)
			continue;
		*which = files[i].name;
		if (!name)
			fprintf(f, "%s#### %s: %s\n", found ? "" : "\n", files[i].name, files[i].place);
		if (files[i].put(f, s) != 0)
			return -2;
		found = 0;
	}
	return found;
}
