//! Classifies IP addresses by IANA's special-purpose address registries. An IPv4 address inside an IPv6
//! address is classified as the IPv4 address, as that is where packets end up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The metadata services outside of the link-local range: Azure's, Alibaba's, and AWS's over IPv6.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Returns the IPv4 address inside an IPv6 address: mapped and compatible (RFC 4291
/// §2.5.5), 6to4 (RFC 3056), NAT64 (RFC 6052), Teredo (RFC 4380).
pub(super) fn inner(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let of = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] if high != 0 || low > 1 => Some(of(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        [0x2001, 0, .., high, low] => Some(of(!high, !low)),
        _ => None,
    }
}

/// Whether the address is globally reachable.
pub(super) fn is_public(address: IpAddr) -> bool {
    match (address, inner(address)) {
        (IpAddr::V4(v4), _) | (_, Some(v4)) => is_public_v4(v4) && !METADATA.contains(&v4.into()),
        (IpAddr::V6(v6), None) => is_public_v6(v6),
    }
}

/// Whether a cloud's metadata service, which hands out the machine's credentials, may be here.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    let address = inner(address).map_or(address, IpAddr::V4);
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    link_local || METADATA.contains(&address)
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let carrier_nat = a == 100 && (64..128).contains(&b);
    let benchmarks = a == 198 && matches!(b, 18 | 19);
    let protocols = (a, b, c) == (192, 0, 0);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || carrier_nat
        || benchmarks
        || protocols
        || a == 0
        || a >= 224)
}

/// Only 2000::/3 is allocated as global unicast (RFC 4291 §2.4); documentation prefixes are excluded.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let documentation = (first, second) == (0x2001, 0xdb8) || first == 0x3fff;
    first & 0xe000 == 0x2000 && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_purpose_addresses_are_not_public_in_any_notation() {
        for text in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "0.0.0.0",
            "240.0.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "168.63.129.16",
            "::1",
            "::",
            "fc00::1",
            "fec0::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "64:ff9b:1::a00:1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "2002:a00:1::",
            "2002:a9fe:a9fe::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "2001:0:1:2:3:4:f5ff:fffe",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "8.8.8.8",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "100.128.0.1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_metadata_service_is_recognised_in_every_notation() {
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "fd00:ec2::254",
            "100.100.100.200",
        ] {
            assert!(is_metadata(text.parse().unwrap()), "{text}");
        }
        assert!(!is_metadata("10.0.0.1".parse().unwrap()));
    }
}
