//! What a client learns when it asks for one job by its number.

mod support;

use muster_client::Client;
use muster_model::ids::JobId;
use support::Cluster;

#[test]
fn a_number_stands_for_a_job_an_array_or_a_heterogeneous_job() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let plain = cluster.submit("--hold --wrap true");
    let array = cluster.submit("--hold --array 1-3 --wrap true");
    // A held task has a record of its own, so the array has two.
    cluster.out(&format!("scontrol update jobid={array}_2 name=apart"));
    let het = cluster.submit("--hold -n1 : -n1 --wrap true");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect_to(&cluster.path().join("state/muster.sock")).await.unwrap();
        let numbers = async |job: u32| {
            let jobs = client.jobs_numbered(JobId(job)).await.unwrap();
            jobs.iter().map(|job| job.id.0).collect::<Vec<_>>()
        };
        let found = async |job: u32| client.job(JobId(job)).await.unwrap().map(|job| job.id.0);
        assert_eq!(numbers(plain).await, [plain]);
        assert_eq!(numbers(array).await.len(), 2);
        assert_eq!(numbers(het).await, [het, het + 1]);
        assert_eq!(numbers(het + 1).await, [het + 1]);
        assert_eq!(numbers(9_999_999).await, [0; 0]);
        for job in [plain, array, het, het + 1] {
            assert_eq!(found(job).await, Some(job));
        }
        assert_eq!(found(9_999_999).await, None);
    });
}
