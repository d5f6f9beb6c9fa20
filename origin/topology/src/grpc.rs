//! The gRPC interface: GitLab's services, `grpc.health.v1`, and reflection.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Extensions, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::messages;
use crate::metrics::Transport;
use crate::proto::cell_service_server::{CellService, CellServiceServer};
use crate::proto::classify_service_server::{ClassifyService, ClassifyServiceServer};
use crate::proto::{
    ClassifyRequest, ClassifyResponse, DESCRIPTORS, GetCellRequest, GetCellResponse,
    GetCellsRequest, GetCellsResponse,
};
use crate::service::{MAX_REQUEST_BYTES, Reply, RequestError, Service};

/// The interval of HTTP/2 pings to an idle client, and how long it may take to respond.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Concurrent requests on one connection.
const MAX_STREAMS: u32 = 1024;

/// Serves on `listener` until `stop` completes, then finishes open requests. Before that, the health
/// service reports `NOT_SERVING`, so that clients which watch it go elsewhere.
///
/// # Errors
/// The listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Service,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    report(&health, ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(io::Error::other)?;
    let stop = async {
        stop.await;
        report(&health, ServingStatus::NotServing).await;
    };
    routes(service)
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop)
        .await
        .map_err(io::Error::other)
}

/// Reports the health of each service, and of the server as a whole, whose name is empty.
async fn report(health: &HealthReporter, status: ServingStatus) {
    let classify = ClassifyServiceServer::<Service>::NAME;
    for name in ["", classify, CellServiceServer::<Service>::NAME] {
        health.set_service_status(name, status).await;
    }
}

fn routes(service: Service) -> Router {
    let classify = ClassifyServiceServer::new(service.clone());
    let cells = CellServiceServer::new(service);
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(classify.max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(cells.max_decoding_message_size(MAX_REQUEST_BYTES))
}

#[tonic::async_trait]
impl ClassifyService for Service {
    async fn classify(
        &self,
        request: Request<ClassifyRequest>,
    ) -> Result<Response<ClassifyResponse>, Status> {
        let request = messages::read_request(request.into_inner());
        write(Service::classify(self, Transport::Grpc, request, |found| found.into()))
    }

    async fn get_cells(
        &self,
        _: Request<GetCellsRequest>,
    ) -> Result<Response<GetCellsResponse>, Status> {
        write(self.cells(Transport::Grpc, |directory| directory.into()))
    }
}

#[tonic::async_trait]
impl CellService for Service {
    async fn get_cell(
        &self,
        request: Request<GetCellRequest>,
    ) -> Result<Response<GetCellResponse>, Status> {
        let id = request.into_inner().cell_id;
        write(self.cell(Transport::Grpc, id, |cell| cell.into()))
    }
}

fn write<T>(reply: Reply<T>) -> Result<Response<T>, Status> {
    let mut metadata = MetadataMap::new();
    if let Ok(caching) = MetadataValue::try_from(reply.caching.to_string()) {
        metadata.insert("cache-control", caching);
    }
    match reply.result {
        Ok(message) => Ok(Response::from_parts(metadata, message, Extensions::default())),
        Err(error) => Err(status(error, metadata)),
    }
}

fn status(error: RequestError, metadata: MetadataMap) -> Status {
    let (code, message) = match error {
        RequestError::NotFound(message) => (tonic::Code::NotFound, message),
        RequestError::Invalid(message) => (tonic::Code::InvalidArgument, message),
    };
    Status::with_metadata(code, message, metadata)
}
