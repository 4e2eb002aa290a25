//! Files that options name, and keys as OpenSSL writes them. The keys are for nothing else.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory that goes with its owner.
pub(super) struct Files(PathBuf);

/// The form of a key, the key, its certificate and its password.
pub(super) const KEYS: &[(&str, &str, &str, Option<&str>)] = &[
    ("SEC1", EC_SEC1, EC_CERTIFICATE, None),
    ("PKCS#1", RSA_PKCS1, RSA_CERTIFICATE, None),
    ("PKCS#8", EC_PKCS8, EC_CERTIFICATE, None),
    ("PKCS#8 with a needless password", EC_PKCS8, EC_CERTIFICATE, PASSWORD),
    ("PKCS#8, AES and PBKDF2 with SHA-256", EC_AES, EC_CERTIFICATE, PASSWORD),
    ("PKCS#8, AES and scrypt", EC_SCRYPT, EC_CERTIFICATE, PASSWORD),
    ("PKCS#8, Triple DES and PBKDF2 with SHA-1", EC_DES3, EC_CERTIFICATE, PASSWORD),
];

/// An encrypted one among the keys.
pub(super) const ENCRYPTED: usize = 4;

// === impl Files ===

impl Files {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("event_pusher_tls_{}_{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PASSWORD: Option<&str> = Some("correct horse");

const EC_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBeDCCAR+gAwIBAgIUedPU6fOjjjXWJ/Yxe4JFj/L3PJcwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGY2xpZW50MCAXDTI2MTEyNTE1NTYxNVoYDzIxMjYxMTAxMTU1
NjE1WjARMQ8wDQYDVQQDDAZjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATO2JcYKknZUuv6oHyGjRWmEtGQFHfzby613Y3d1uaBBH/VqOOB8fGY5XezVnQR
qV+rHrEDSeGzxe2e0vAU6k2so1MwUTAdBgNVHQ4EFgQUh3Zy6iPcm3xUuATkYeob
4Fdg5rAwHwYDVR0jBBgwFoAUh3Zy6iPcm3xUuATkYeob4Fdg5rAwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAHJBSOKJeyShJXP120UDyYr5SRqV2f
A495lJ+2QLb5QgIgFwDUZLtjq7+69wISXFrSlXD5dcv2Bwety1AN4oWMMXs=
-----END CERTIFICATE-----
";

const EC_SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIIRTSyLZWZ2DcmNkh95ftNLlZlxsZKsabazgdXFm5s2KoAoGCCqGSM49
AwEHoUQDQgAEztiXGCpJ2VLr+qB8ho0VphLRkBR3828utd2N3dbmgQR/1ajjgfHx
mOV3s1Z0Ealfqx6xA0nhs8XtntLwFOpNrA==
-----END EC PRIVATE KEY-----
";

const EC_PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghFNLItlZnYNyY2SH
3l+00uVmXGxkqxptrOB1cWbmzYqhRANCAATO2JcYKknZUuv6oHyGjRWmEtGQFHfz
by613Y3d1uaBBH/VqOOB8fGY5XezVnQRqV+rHrEDSeGzxe2e0vAU6k2s
-----END PRIVATE KEY-----
";

const EC_AES: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhaw+rT48PaLgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDqQB81zlzbjYhbokDdgQzoEgZCJ
bBZUlYA20VyLrWlgB/TU2OwllBssNE7FPeKjv75a7hdDejFskE2cp/YO707tZpK9
rvSpIWs95H/T0E3f+L+d2+QjP/vEmly1SVOSe1aRj4LBc0rR6SnHc4R2zSGhrRbV
c0bhNo7pXANMpI1qwejimU/smiv7zfzc0VoflqJq8t0SS4t2JqxtupzylBTGdWs=
-----END ENCRYPTED PRIVATE KEY-----
";

const EC_SCRYPT: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAiuB+ZxyXBMugICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBDcnWNKm4yUfHIGWasO4tKKBIGQ8xEWNdUjLiCq
wDowFimqQKeMgT8e3UkE6r8WVb1gqtbqOaHG/QS3Z1mtr5AoR/EjnnCJzKsdB8ED
d4oiTUnQMKwTxEG7zxoUAVvTpsd3BjDqmogtytqfON+ObO2FZ0t1XzS8g/FvQrhD
vC+PgpreNEQkewor0J/9YxrTm4sdTOEHUDqF7RHFtMCXCex7JBdL
-----END ENCRYPTED PRIVATE KEY-----
";

const EC_DES3: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHVMEAGCSqGSIb3DQEFDTAzMBsGCSqGSIb3DQEFDDAOBAgtET19Bxo33gICCAAw
FAYIKoZIhvcNAwcECHcx4RY5CY66BIGQF/ZC6KyaK3+y6sASXqjEprPDWHm4hb+b
T+U2gZLKPPUzNQGq7ptfcjBUYVib3+R2OA9OiKbLgb/mKu1L/GKd3MAgR8SAsP0S
ymioASxIU8a42k5KoiPVlR8GNy0oeCHxOJwsSZXHMbRuxI3ZrhZ8QcUy/JVzJBs9
n5AZ0zCp2/+l0DjXO20Ka95VU0QybFvN
-----END ENCRYPTED PRIVATE KEY-----
";

const RSA_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIDBTCCAe2gAwIBAgIUedwiGmaj9XhYcNy1NcqVH2zjN3gwDQYJKoZIhvcNAQEL
BQAwETEPMA0GA1UEAwwGY2xpZW50MCAXDTI2MTEyNTE1NTYxNloYDzIxMjYxMTAx
MTU1NjE2WjARMQ8wDQYDVQQDDAZjbGllbnQwggEiMA0GCSqGSIb3DQEBAQUAA4IB
DwAwggEKAoIBAQDJM2HH/r+c0gXsNHKGOIg/1T0ViLSmO2F81b5K3dc9VnZp9P69
iWicP08W0R97YXiUmyeiJgRSTBFBIMO1PXxrRFg3LCQUJdzSgRXXOq/tp5ICaLCE
+Fqx6DP0oU1oT2lsjnZv5I3vX9PINu+0IYpT+4Q+REDwjntMz4Wt6m/BE0piCaoX
JnDKkpGi/F0WXDarAKrZYWZSvCXPa8UAEsus0rwlCwk/K/UQKrkUN98E1FnQl37K
8E8Uuc98tKcE4X71smH6wkfhrx27bLyorLgZR9ABSlaH4qycuGa3dN5rpFoVc69T
0sETVr2+bV1x23j6jW3lwnLMMb9RXvzVzr8ZAgMBAAGjUzBRMB0GA1UdDgQWBBTS
jWNKXWP7JiSAyQSfYxv3cXLBczAfBgNVHSMEGDAWgBTSjWNKXWP7JiSAyQSfYxv3
cXLBczAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4IBAQBbmCqZKQBj
5+X6JFu9GUMfsYQOlVZ95ZPccvx8U6L5d0qBBwtA56C2ZUUeHBMSfQjfzFlZYOmQ
0Z0H6LdY926z7KB8on3vGGUGCBeYBgVVLAA5hn9MJMoONKGqzChnHrPAYICPzP+J
fwms2AA49n1kqhiT26SKFvYueouXmeyFVXVXsqfDUz+KMxGIYdJzO4sk5Gbi/axD
rjKrovJG8l+zo2+cv853Lq1s/OhifwLzVPYkjLyjZiLzGOK9kUehTCA+d5HqxDT/
nvmOOGwi8Qqhucwn1W7ZWzomY2QUAPMZgcI1adGd6XtMJ134o4ifLxyVyAds7alH
aJ/fHKFLhKpa
-----END CERTIFICATE-----
";

const RSA_PKCS1: &str = "\
-----BEGIN RSA PRIVATE KEY-----
MIIEogIBAAKCAQEAyTNhx/6/nNIF7DRyhjiIP9U9FYi0pjthfNW+St3XPVZ2afT+
vYlonD9PFtEfe2F4lJsnoiYEUkwRQSDDtT18a0RYNywkFCXc0oEV1zqv7aeSAmiw
hPhasegz9KFNaE9pbI52b+SN71/TyDbvtCGKU/uEPkRA8I57TM+FrepvwRNKYgmq
FyZwypKRovxdFlw2qwCq2WFmUrwlz2vFABLLrNK8JQsJPyv1ECq5FDffBNRZ0Jd+
yvBPFLnPfLSnBOF+9bJh+sJH4a8du2y8qKy4GUfQAUpWh+KsnLhmt3Tea6RaFXOv
U9LBE1a9vm1dcdt4+o1t5cJyzDG/UV781c6/GQIDAQABAoIBAAGTaG1vZXCtjDHT
2KOMSTlcJdM7VQCRc8L0v4eLY152ewg2YHQAYcu7Bg1XVMPZVDfhloRb7EoCy9pW
exsmnQjU4q6ujjncP4RVtHJzsNo+XUJ8TRMCxBoA4I1LpqjXiyaL83rxNvOZwHqD
SQVd76bbxjqgsczRwSsyZZWTt/7GcLLBKbAPw8F8+W7RNTtJGJMg0B1S87S/grR2
3oMoXoO+MFYpwiZdNKexv2+B8Bti9aHXUk0xPFbPdwEXa5e5jyTNiaev6858pcXM
I22ZbUbh6kIb7bQDPxFs1JSSuacYCCXo2rEtORlbjoQgLtuttM4UZMP7WZflNE7/
2tZV6aECgYEA+N8YCHeNr2h6gO3n6TZ2jGJahlJ3mn10TvPKkDppWV3tXoWEdNfE
1K4HzUdvA5KYb76xzbmdpzqaKp7GRYv3PJy5ZfoF0q+96Tg0K72X2K6AxwcdencS
OuzecO0n2KlKsiJbD4cnhLzQxdf1MEZsUENpL28joXlKAUnz4uJ3GykCgYEAzva7
Rxq5XtJ0rep7GkROvWcF4GYxb/vEjIdX3SlufU+cGM2VXeSwSeCC3VzIls2J0I+L
52yJSAWmiptULT4kEtgBJfojRPzFowzmVVWAafslJqP4y8o1nskn4uLTpc/vb965
I/1lea6Fpc3a2YRGTIfG36iP2y+dTIBSI9v38nECgYBz7H8mWoHt5c3CRo8S66KW
y619CebaWHuX1ylQu1SdIwpRUAId5u+xXYsWzKJiWKOW0Y3C1SYhYkOzfJfAh2zX
l+0oGikiNWhRvTNX+I1FiitECgVqKRKdzf3jPiSkYF8B0Mz3063Nv6HDtk9oeDU1
weC6DpvbOEMHjKoE0hZG2QKBgAgFcAS1eHHAXl1PNS4zb4nPsF6eF1RrwZZguHsN
3AZnS3l6nkthTaPPW8MQkYWmuayno5h4kGmGLoo4su599g/05zZ9l1hZI5/KJDMy
eSOiZDI3MLFVSPa6fR1CBUnr4S/IxgwrCf/JT8y5Sb4cbk0RBhgtBEZOdh486vIQ
2G9BAoGAdt/87q3joJOi3NQz9HP/8xtGQ8ZieL/qQ+IiwI5Vmweaq7hLIdu8Imm4
CXwdq4Oc6jju9svqsX/pPMCs+7Azm4WJdCJwUKaRvhhBXVJ6M6yl8Pt7FvHTj4x6
aRu+6/qMeRISYMRmk8k8VmCQDCoz+7Ud+/3B3m+9evBIdzJJm6A=
-----END RSA PRIVATE KEY-----
";
