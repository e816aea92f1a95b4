# Sourced by tests/fleet/run and tests/ansible/run: two edges that are agents, too, a parent, an origin beside them, and the collection.
# Who sources it sets deb, the package, and ctl, pmcachectl on this machine.
# shellcheck shell=bash disable=SC2034,SC2154 # names that are set there, or used there
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(realpath -m "${PMC_BUILD:-$root/build}")
export PMC_FLEET_DIR=${PMC_FLEET_DIR:-/var/tmp/pmcache-fleet}
machines=$root/tests/fleet/machines
work=$(mktemp -d)
passed=0 failed=0
children=()

finish() {
	local pid

	for pid in "${children[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	"$machines" down
	rm -rf --one-file-system "$work"
}

# check WHAT COMMAND...
check() {
	local what=$1 start=$SECONDS
	shift
	if "$@" >"$work/log" 2>&1; then
		passed=$((passed + 1))
		echo "ok    $what ($((SECONDS - start)) s)"
	else
		failed=$((failed + 1))
		echo "FAIL  $what"
		sed 's/^/      | /' "$work/log" | tail -n "${PMC_FLEET_LINES:-60}"
	fi
}

the_end() {
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

fail_with() {
	echo "$*"
	return 1
}

# Builds the collection as it would be published, and installs it into a folder of its own.
install_collection() {
	local offline=()

	mkdir -p "$work/collections"
	ansible-galaxy collection build "$root/ansible" --output-path "$work/archive" || return 1
	ansible-galaxy collection install --help | grep -q -- --offline && offline=(--offline)
	ansible-galaxy collection install "${offline[@]}" -p "$work/collections" "$work"/archive/*.tar.gz || return 1
	collection=$work/collections/ansible_collections/pmcache/pmcache
	[ -f "$collection/MANIFEST.json" ]
}

export ANSIBLE_COLLECTIONS_PATHS=$work/collections
export ANSIBLE_COLLECTIONS_PATH=$ANSIBLE_COLLECTIONS_PATHS
export ANSIBLE_NOCOLOR=1 NO_COLOR=1 PY_COLORS=0 ANSIBLE_PIPELINING=1 ANSIBLE_HOST_KEY_CHECKING=False ANSIBLE_RETRY_FILES_ENABLED=0
export ANSIBLE_SSH_CONTROL_PATH_DIR=$work/ssh ANSIBLE_LOCALHOST_WARNING=False

write_inventory() {
	{
		cat <<-YAML
			all:
			  vars:
			    ansible_user: root
			    ansible_ssh_private_key_file: $PMC_FLEET_DIR/key
			    ansible_ssh_common_args: "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
			    pmcache_cluster: fleet
			    pmcache_secrets_dir: $work/secrets
			    pmcache_deb: $deb
			    pmcache_ctl: $ctl
			    pmcache_config:
			      upstream: {ca_file: /etc/ssl/origin.crt}
			    pmcache_client_users: [ci]
			    pmcache_client_services: [runner]
			    pmcache_client_container_proxy: "10.77.0.1:8081"
			  children:
			    pmcache_clients:
			      children: {pmcache_edges: }
		YAML
		echo "    pmcache_parents:"
		echo "      hosts:"
		"$machines" inventory | sed -nE 's/^(parent[^ ]*) ansible_host=(.*)/        \1: {ansible_host: \2}/p'
		echo "    pmcache_edges:"
		echo "      hosts:"
		"$machines" inventory | sed -nE 's/^(edge[^ ]*) ansible_host=(.*)/        \1: {ansible_host: \2}/p'
	} >"$work/inventory.yml"
}

# play PLAYBOOK [OPTION...]: on the Ethernet; what it said is kept in $work/play
play() {
	local playbook=$1
	shift
	"$machines" run ansible-playbook -i "$work/inventory.yml" "pmcache.pmcache.$playbook" "$@" 2>&1 | tee "$work/play"
	return "${PIPESTATUS[0]}"
}

# unchanged HOSTS: the last play changed nothing on so many hosts
unchanged() {
	local hosts

	hosts=$(sed -n '/^PLAY RECAP/,$p' "$work/play" | grep -c ' changed=0 ')
	[ "$hosts" -eq "$1" ] && return 0
	grep -E '^(TASK|changed)' "$work/play" | grep -B 1 '^changed'
	return 1
}

on() {
	local name=$1
	shift
	"$machines" ssh "$name" "$@"
}

# as_ci EDGE COMMAND: as the user of the CI jobs, in a login shell
as_ci() {
	on "$1" "su - ci -c $(printf %q "$2")"
}

start_origin() {
	mkdir -p "$work/www"
	head -c 300000 /dev/urandom >"$work/www/some-1.0.tgz"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=origin.fleet.test" \
		-addext subjectAltName=DNS:origin.fleet.test -keyout "$work/origin.key" -out "$work/origin.crt" 2>"$work/openssl" || return 1
	"$machines" run /usr/bin/python3 -u "$root/tests/fleet/origin.py" 10.77.0.254 443 "$work/origin.crt" "$work/origin.key" "$work/www" \
		>"$work/origin.log" 2>&1 &
	children+=($!)
	for _ in $(seq 100); do
		grep -q ready "$work/origin.log" && return 0
		sleep 0.1
	done
	cat "$work/origin.log"
	return 1
}

# The nodes trust the origin; agents do not, so that only what comes through an edge is taken.
spread_origin_certificate() {
	local name

	for name in "$@"; do
		"$machines" ssh "$name" "cat >/etc/ssl/origin.crt <<'END'
$(<"$work/origin.crt")
END" || return 1
	done
}

# A package of another version, else the same.
newer_package() {
	dpkg-deb -R "$deb" "$work/newer" && sed -i 's/^Version: .*/&+test1/' "$work/newer/DEBIAN/control" &&
		dpkg-deb --root-owner-group -b "$work/newer" "$work/pmcache_newer.deb"
}
