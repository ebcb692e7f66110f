#!/usr/bin/env bash
# Sourced by the tools that fetch packages of a newer Debian: an apt with state and settings of its own, which checks
# signatures, installs nothing, and leaves the machine's own alone. Who sources it has complain().

# forky has what is wanted, and keeps it when it is released; sid is there whatever the names will be.
# shellcheck disable=SC2034
suites=(forky sid)

# The folder for what one tool fetches, by its real path: target/NAME. As root the tests run such programs as another
# user, who cannot get into a clone in /root: then it is a link to a folder that all can reach.
place_for() {
  local link=${CARGO_TARGET_DIR:-target}/$1 folder
  folder=$link
  mkdir -p "${link%/*}"
  if [[ $(id -u) == 0 && ! -L $link ]] && ! everybody_reaches "${link%/*}"; then
    folder=/var/cache/poolwatch/$1
    (umask 022 && mkdir -p "$folder")
    rm -rf "$link"
    ln -s "$folder" "$link"
  fi
  mkdir -p "$folder"
  (cd "$folder" && pwd -P)
}

everybody_reaches() {
  local folder
  folder=$(cd "$1" && pwd -P)
  while (((8#$(stat -c %a "$folder") & 1) == 1)); do
    [[ $folder != / ]] || return 0
    folder=$(dirname "$folder")
  done
  return 1
}

# Where this machine has its Debian from, and where all the world has it from.
mirrors() {
  {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
      sed -n 's/^Debian Debian \(https\?:\)/\1/p' || true
    echo http://deb.debian.org/debian/
  } | awk '!seen[$0]++'
}

keyring() {
  local file
  for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
    [[ ! -e $file ]] || { echo "$file" && return; }
  done
  complain "Debian's keys are missing: apt-get install debian-archive-keyring"
  return 1
}

# Of the machine's settings only how the network is reached: no hooks, no sources, no caches.
settings() {
  local work=$1
  apt-config dump | grep -E '^Acquire::(https?|Check-|ForceIP)' || true
  cat <<END
Dir::State "$work";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Log "$work";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::AllowInsecureRepositories "false";
APT::Sandbox::User "root";
END
}

# Prepares an apt that knows one suite of one mirror, or several, separated by spaces.
prepare() {
  local mirror=$1 suite wanted=$2 work=$3 keys architecture
  keys=$(keyring) && architecture=$(dpkg --print-architecture) || return 1
  mkdir -p "$work"/{lists,cache/archives}/partial
  : >"$work/status"
  for suite in $wanted; do
    echo "deb [arch=$architecture target=Packages signed-by=$keys] $mirror $suite main"
  done >"$work/sources.list"
  settings "$work" >"$work/apt.conf"
  APT_CONFIG=$work/apt.conf apt-get -qq update >&2
}

# Fetches packages, by name, into the folder of the apt that knows them.
download() {
  local work=$1
  shift
  (cd "$work" && APT_CONFIG=$work/apt.conf apt-get -qq download "$@") >&2
}

# The libraries that a package needs.
libraries() {
  dpkg-deb -f "$1" Pre-Depends Depends | tr ',' '\n' | sed -n 's/^\(.*Depends:\)\? *\(lib[^ :]*\).*/\2/p'
}

# Unpacks packages and the libraries they need, and those they need, into the folder `root` beside them.
unpack_with_libraries() {
  local work=$1 package next=("${@:2}")
  local -A known=()
  mkdir "$work/root"
  while ((${#next[@]} > 0)); do
    package=${next[0]} next=("${next[@]:1}")
    [[ -z ${known[$package]-} ]] || continue
    known[$package]=yes
    download "$work" "$package" && dpkg-deb -x "$work/$package"_*.deb "$work/root" || return 1
    mapfile -t -O "${#next[@]}" next < <(libraries "$work/$package"_*.deb)
  done
}
