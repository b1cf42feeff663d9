"""What a node is given: addresses that do not meet, certificates that fit, a machine that has what it takes."""

import ipaddress
import itertools
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from parts import addons, machine, programs
from parts.certificates import Authority, Identity, signing_key, write_kubeconfig
from parts.layout import Layout
from parts.versions import read_versions
from support.processes import REPO

NODE = REPO / "infra" / "single-node" / "node.py"


def test_the_networks_of_a_node_are_its_own_and_do_not_meet(layout: Layout) -> None:
    names = ("load_balancer_network", "pod_network", "service_network")
    networks = [ipaddress.ip_network(getattr(layout, name)) for name in names]
    networks.append(ipaddress.ip_network(f"{layout.node_address}/24", strict=False))
    whole = ipaddress.ip_network(layout.network)
    assert all(whole.supernet_of(network) for network in networks)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(networks, 2))
    services = ipaddress.ip_network(layout.service_network)
    assert str(services[1]) == layout.kubernetes_service_address
    assert str(services[10]) == layout.dns_address


def test_two_nodes_share_nothing(layout: Layout) -> None:
    first = Layout()
    for name in ("root", "host_interface", "control_group", "kubeconfig", "host_address", "server"):
        assert getattr(first, name) != getattr(layout, name)


def test_the_interfaces_name_is_one_that_the_kernel_takes() -> None:
    assert len(Layout(name="a-very-long-name-of-a-node").host_interface) <= 15


@pytest.mark.parametrize("network", ["10.217.0.0/24", "fd00::/16"])
def test_a_network_of_another_size_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="no IPv4 /16"):
        _ = Layout(network=network).node_address


def test_certificates_carry_who_they_are_for_and_only_their_authority_vouches(tmp_path: Path) -> None:
    authority = Authority(name="cluster", folder=tmp_path)
    pair = authority.issue("kubelet", Identity(user="system:node:n", groups=["system:nodes"], addresses=["10.217.0.2"]))
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    (group,) = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    (user,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert (user.value, group.value) == ("system:node:n", "system:nodes")
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pair.certificate.read_bytes()))
    other = Authority(name="other", folder=tmp_path)
    with pytest.raises(ValueError, match="does not match certificate issuer"):
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(other.pair.certificate.read_bytes()))


def test_an_authority_that_is_there_is_kept_and_every_key_is_its_owners_alone(tmp_path: Path) -> None:
    first = Authority(name="cluster", folder=tmp_path / "keys").pair.certificate.read_bytes()
    again = Authority(name="cluster", folder=tmp_path / "keys")
    assert again.pair.certificate.read_bytes() == first
    pair = again.issue("admin", Identity(user="admin"))
    signing = signing_key(tmp_path / "keys")
    assert signing.read_bytes() == signing_key(tmp_path / "keys").read_bytes()
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfig", server="https://x", authority=again.pair.certificate, user="admin", pair=pair
    )
    for secret in (pair.key, again.pair.key, signing, kubeconfig):
        assert secret.stat().st_mode & 0o777 == 0o600, secret
    assert ssl.create_default_context(cafile=str(again.pair.certificate)).cert_store_stats()["x509_ca"] == 1


def test_every_program_is_asked_for_and_finds_the_files_it_is_given(layout: Layout) -> None:
    plan = programs.plan(layout)
    names = [program["name"] for program in plan["programs"]]
    assert names[:2] == ["etcd", "kube-apiserver"]
    assert {"kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy"} <= set(names)
    root = str(layout.root)
    for program in plan["programs"]:
        for word in program["command"]:
            value = word.split("=", 1)[-1]
            if value.startswith(root) and not value.endswith(("/etcd", ".sock")):
                assert Path(value).exists(), word
    assert layout.root.stat().st_mode & 0o777 == 0o700


def test_the_clusters_own_objects_name_images_that_are_made_here_and_never_pulled(layout: Layout) -> None:
    made = {image.name for image in addons.made_of(read_versions())}
    used = set()
    for document in yaml.safe_load_all(addons.objects(layout)):
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            used.add(container["image"])
            assert container["imagePullPolicy"] == "Never"
            assert container["securityContext"]["readOnlyRootFilesystem"]
    assert len(used) == 3
    assert used < made


def test_another_system_and_another_user_are_told_what_is_needed() -> None:
    with pytest.raises(machine.MachineError, match="needs Linux"):
        machine.check_root(platform="darwin")
    with pytest.raises(machine.MachineError, match="needs root"):
        machine.check_root(platform="linux", user=lambda: 1000)
    machine.check_root(platform="linux", user=lambda: 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root already is what is tried here")
def test_the_command_tells_a_user_who_is_not_root() -> None:
    # The interpreter may be closed to others: what is tried is who asks, not what they may read.
    program = "import os, sys; os.geteuid = lambda: 1000; sys.argv[1:] = ['status']\n"
    program += "import node; sys.exit(node.main())"
    done = subprocess.run([sys.executable, "-c", program], cwd=NODE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ("cluster: a single node needs root: it makes namespaces, control groups and an interface\n")


def test_missing_programs_are_named_by_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_path", lambda: str(tmp_path))
    assert {"runc", "nftables", "iptables"} <= set(machine.missing_packages())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(machine.MachineError, match=r"missing, and apt-get is not here to install them: .*runc"):
        machine.install_missing()


def test_a_kernel_without_control_groups_is_refused() -> None:
    machine.check_control_groups("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    with pytest.raises(machine.MachineError, match="no control groups"):
        machine.check_control_groups("proc /proc proc rw 0 0\n")
