//! REST and gRPC are two interfaces of one service: both return the same for the same request.

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::codegen::tokio_stream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use topology::proto::cell_service_client::CellServiceClient;
use topology::proto::classify_service_client::ClassifyServiceClient;
use topology::proto::types::v1::{self, claim::Claim};
use topology::proto::{
    CellInfo, ClassifyRequest, ClassifyResponse, ClassifyType, GetCellRequest, GetCellsRequest,
    SequenceRange, TargetType,
};

use crate::process::{HttpResponse, Service};

const CONFIG: &str = r#"
    env = "test"
    cache = { positive_ttl_seconds = 300, negative_ttl_seconds = 7 }
    [[cells]]
    id = 1
    address = "cell-1"
    registry_address = "registry-cell-1"
    sequence_ranges = [{ minval = 1, maxval = 9007199254740993 }]
    [[cells]]
    id = 36
    address = "cell-36"
    session_prefix = "cell-36"
    [[claims]]
    cell = 1
    route = "acme"
    organization_id = 1001
    [[claims]]
    cell = 36
    redirect_route = "acme-old"
"#;

struct Stack {
    service: Service,
    channel: Channel,
    _folder: TempDir,
}

async fn start() -> Stack {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.toml");
    std::fs::write(&file, CONFIG).unwrap();
    let service = Service::start(&file, &["--grpc-listen", "127.0.0.1:0"]);
    let channel = connect(&service).await;
    Stack { service, channel, _folder: folder }
}

pub(crate) async fn connect(service: &Service) -> Channel {
    let url = format!("http://{}", service.grpc.as_ref().unwrap());
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

pub(crate) fn by_claims(claims: &[Claim]) -> ClassifyRequest {
    let claims = claims.iter().cloned().map(|claim| v1::Claim { claim: Some(claim) }).collect();
    ClassifyRequest { claims, ..ClassifyRequest::default() }
}

fn route(path: &str) -> Claim {
    Claim::Route(path.to_owned())
}

fn by_type(kind: ClassifyType, value: &str) -> ClassifyRequest {
    let value = value.to_owned();
    ClassifyRequest { r#type: kind.into(), value, ..ClassifyRequest::default() }
}

fn targeted(target: TargetType, request: ClassifyRequest) -> ClassifyRequest {
    ClassifyRequest { target: target.into(), ..request }
}

/// Requests over gRPC, and the same ones over REST.
fn requests() -> Vec<(ClassifyRequest, Value)> {
    let redirect = Claim::RedirectRoute("acme-old".to_owned());
    vec![
        (by_type(ClassifyType::FirstCell, ""), json!({"type": "FIRST_CELL"})),
        (by_type(ClassifyType::CellId, "36"), json!({"type": "CELL_ID", "value": "36"})),
        (by_type(ClassifyType::CellId, "10"), json!({"type": "CELL_ID", "value": "10"})),
        (by_type(ClassifyType::CellId, "z"), json!({"type": "CELL_ID", "value": "z"})),
        (by_type(ClassifyType::CellId, ""), json!({"type": "CELL_ID"})),
        (
            by_type(ClassifyType::SessionPrefix, "cell-36"),
            json!({"type": "SESSION_PREFIX", "value": "cell-36"}),
        ),
        (
            by_type(ClassifyType::SessionPrefix, &"x\u{e9}".repeat(10_000)),
            json!({"type": "SESSION_PREFIX", "value": "x\u{e9}".repeat(10_000)}),
        ),
        (ClassifyRequest::default(), json!({})),
        (ClassifyRequest { r#type: 4, ..ClassifyRequest::default() }, json!({"type": 4})),
        (by_claims(&[route("ACME")]), json!({"claims": [{"route": "ACME"}]})),
        (
            by_claims(&[route("acme-old"), redirect]),
            json!({"claims": [{"route": "acme-old"}, {"redirectRoute": "acme-old"}]}),
        ),
        (by_claims(&[Claim::OrganizationId(1001)]), json!({"claims": [{"organization_id": 1001}]})),
        (by_claims(&[route("unclaimed")]), json!({"claims": [{"route": "unclaimed"}]})),
        (
            ClassifyRequest { claims: vec![v1::Claim::default()], ..ClassifyRequest::default() },
            json!({"claims": [{}]}),
        ),
        (
            ClassifyRequest { value: "1".into(), ..by_claims(&[route("acme")]) },
            json!({"value": "1", "claims": [{"route": "acme"}]}),
        ),
        (
            ClassifyRequest { r#type: 1, ..by_claims(&[route("acme")]) },
            json!({"type": 1, "claims": [{"route": "acme"}]}),
        ),
        (
            targeted(TargetType::Registry, by_claims(&[route("acme")])),
            json!({"claims": [{"route": "acme"}], "target": "REGISTRY"}),
        ),
        (
            targeted(TargetType::Web, by_type(ClassifyType::CellId, "1")),
            json!({"type": "CELL_ID", "value": "1", "target": "web"}),
        ),
        (
            targeted(TargetType::Registry, by_type(ClassifyType::CellId, "36")),
            json!({"type": "CELL_ID", "value": "36", "target": "TARGET_TYPE_REGISTRY"}),
        ),
        (
            ClassifyRequest { target: 9, ..by_type(ClassifyType::FirstCell, "") },
            json!({"type": "FIRST_CELL", "target": 9}),
        ),
    ]
}

/// What either interface returned, as REST writes it.
#[derive(Debug, PartialEq)]
struct Returned {
    http: u16,
    caching: String,
    body: Value,
}

fn rest(response: &HttpResponse) -> Returned {
    let caching =
        response.head.lines().find_map(|line| line.strip_prefix("cache-control: ")).unwrap();
    Returned { http: response.status, caching: caching.to_owned(), body: response.json() }
}

fn grpc<T>(response: Result<tonic::Response<T>, Status>, message: impl Fn(T) -> Value) -> Returned {
    let caching = |metadata: &tonic::metadata::MetadataMap| {
        metadata.get("cache-control").unwrap().to_str().unwrap().to_owned()
    };
    match response {
        Ok(response) => Returned {
            http: 200,
            caching: caching(response.metadata()),
            body: message(response.into_inner()),
        },
        Err(status) => Returned {
            http: if status.code() == Code::NotFound { 404 } else { 400 },
            caching: caching(status.metadata()),
            body: json!({"code": i32::from(status.code()), "message": status.message(),
                         "details": []}),
        },
    }
}

/// Fields that are empty in protobuf are absent in JSON.
fn object(fields: &[(&str, Value)]) -> Value {
    let empty = |value: &Value| *value == json!("") || *value == json!([]) || value.is_null();
    fields.iter().filter(|(_, value)| !empty(value)).cloned().collect()
}

fn classified(message: ClassifyResponse) -> Value {
    let claim = message.matched_claim.map(|claim| match claim.claim.unwrap() {
        Claim::Route(path) => json!({"route": path}),
        Claim::RedirectRoute(path) => json!({"redirectRoute": path}),
        Claim::OrganizationId(id) => json!({"organizationId": id.to_string()}),
        other => json!(format!("{other:?}")),
    });
    let proxy = message.proxy.unwrap();
    let proxy = object(&[
        ("address", json!(proxy.address)),
        ("registryAddress", json!(proxy.registry_address)),
    ]);
    assert_eq!(message.action, 1);
    object(&[
        ("action", json!("PROXY")),
        ("proxy", proxy),
        ("matchedClaim", claim.unwrap_or_default()),
    ])
}

fn cell(cell: CellInfo) -> Value {
    let range = |range: SequenceRange| json!({"minval": range.minval().to_string(), "maxval": range.maxval().to_string()});
    object(&[
        ("id", json!(cell.id.to_string())),
        ("address", json!(cell.address)),
        ("registryAddress", json!(cell.registry_address)),
        ("sessionPrefix", json!(cell.session_prefix)),
        ("sequenceRanges", cell.sequence_ranges.into_iter().map(range).collect()),
    ])
}

#[tokio::test]
async fn both_interfaces_classify_alike() {
    let Stack { service, channel, _folder } = start().await;
    let mut client = ClassifyServiceClient::new(channel);
    for (message, body) in requests() {
        let over_grpc = grpc(client.classify(message).await, classified);
        assert_eq!(over_grpc, rest(&service.classify(&body.to_string())), "{body}");
    }
}

#[tokio::test]
async fn both_interfaces_list_the_same_cells() {
    let Stack { service, channel, _folder } = start().await;
    let mut client = ClassifyServiceClient::new(channel.clone());
    let all = grpc(
        client.get_cells(GetCellsRequest {}).await,
        |all| json!({"cells": all.cells.into_iter().map(cell).collect::<Value>()}),
    );
    let over_rest = rest(&service.get("/v1/cells"));
    assert_eq!(all, over_rest);
    let mut client = CellServiceClient::new(channel);
    let one = client.get_cell(GetCellRequest { cell_id: 36 }).await;
    let one = grpc(one, |one| cell(one.cell_info.unwrap()));
    assert_eq!(one.body, over_rest.body["cells"][1]);
}

#[tokio::test]
async fn an_unknown_cell_is_not_found() {
    let stack = start().await;
    let mut client = CellServiceClient::new(stack.channel.clone());
    for (cell_id, code, message) in [
        (7, Code::NotFound, "cell not found: \"7\""),
        (0, Code::InvalidArgument, "cell_id: a cell id is a positive number"),
        (-1, Code::InvalidArgument, "cell_id: a cell id is a positive number"),
    ] {
        let status = client.get_cell(GetCellRequest { cell_id }).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
}

#[tokio::test]
async fn requests_of_both_interfaces_are_counted_without_their_values() {
    let Stack { service, channel, _folder } = start().await;
    let mut client = ClassifyServiceClient::new(channel);
    client.classify(by_claims(&[route("acme")])).await.unwrap();
    client.classify(by_claims(&[route("initech")])).await.unwrap_err();
    service.classify("{");
    let page = service.get("/metrics");
    assert!(page.head.contains("content-type: text/plain; version=0.0.4"), "{}", page.head);
    for line in [
        r#"topology_requests_total{transport="grpc",method="classify",outcome="found"} 1"#,
        r#"topology_requests_total{transport="grpc",method="classify",outcome="not_found"} 1"#,
        r#"topology_requests_total{transport="rest",method="classify",outcome="invalid"} 1"#,
        "topology_config_generation 1",
        "topology_config_file_served 1",
        "topology_cells 2",
    ] {
        assert!(page.body.lines().any(|found| found == line), "{line}\n{}", page.body);
    }
    assert!(!page.body.contains("acme") && !page.body.contains("initech"), "{}", page.body);
}

#[tokio::test]
async fn health_is_reported_for_the_server_and_for_each_service() {
    let stack = start().await;
    let mut client = HealthClient::new(stack.channel.clone());
    for service in ["", "gitlab.cells.topology_service.ClassifyService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = client.check(request).await.unwrap().into_inner();
        assert_eq!(response.status(), ServingStatus::Serving, "{service}");
    }
    let other = HealthCheckRequest { service: "other".to_owned() };
    assert_eq!(client.check(other).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let stack = start().await;
    let mut client = ServerReflectionClient::new(stack.channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut responses =
        client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let ServerReflectionResponse { message_response, .. } =
        responses.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = message_response else {
        panic!("{message_response:?}")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in [
        "gitlab.cells.topology_service.ClassifyService",
        "gitlab.cells.topology_service.CellService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_rejected() {
    let stack = start().await;
    let mut client = ClassifyServiceClient::new(stack.channel.clone());
    let long = "x".repeat(65 * 1024);
    let status = client.classify(by_claims(&[route(&long)])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_watch_health_are_notified_before_the_service_stops() {
    let Stack { service, channel, _folder } = start().await;
    let mut client = HealthClient::new(channel);
    let mut watched = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut next = async || watched.message().await.unwrap().unwrap().status();
    assert_eq!(next().await, ServingStatus::Serving);
    service.signal(Signal::TERM);
    assert_eq!(next().await, ServingStatus::NotServing);
    drop((watched, client));
    let (status, log) = service.terminate();
    assert!(status.success(), "{log:?}");
}
