#!/usr/bin/env python3
"""seed.py: writes the first inputs of every fuzz target into fuzz/seeds: those of fuzz/corpus, tests/vectors and a few texts that
stand here. seed.py keep TARGET FOLDER: writes the inputs in a folder into fuzz/corpus, in place of those before. See README.md."""

import base64
import glob
import hashlib
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "tests", "vectors")
LIB = open(os.path.join(HERE, "src", "lib.rs"), encoding="utf-8").read()
COMPONENTS = re.findall(r"^        stable::<(.*)>,$", LIB, re.M)
FUNCTIONS = ["initiateAuthentication", "authenticateClient", "getBoundProfilePackage", "transferEimPackage", "getEimPackage",
             "provideEimPackageResult", "handleNotification", "cancelSession"]


def lines(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def seed(target, octets):
    folder = os.path.join(HERE, "seeds", target)
    os.makedirs(folder, exist_ok=True)
    octets = octets.encode() if isinstance(octets, str) else octets
    with open(os.path.join(folder, hashlib.sha1(octets).hexdigest()), "wb") as file:
        file.write(octets)


def wire():
    for path in sorted(glob.glob(os.path.join(VECTORS, "*.jsonl"))):
        for vector in lines(os.path.basename(path)):
            if "der" not in vector:
                continue
            der, kind = bytes.fromhex(vector["der"]), vector.get("type")
            if kind == "EsipaMessageFromIpaToEim":
                seed("esipa_from_ipa", der)
                seed("compact", der)
            if kind == "EsipaMessageFromEimToIpa":
                seed("esipa_from_eim", der)
            if kind in ("EuiccPackageResult", "PendingNotification"):
                seed("package_result", der)
                seed("signed", der)
            kind = "Vec<ProfilePolicyAuthorisationRule>" if kind == "RulesAuthorisationTable" else kind
            if kind in COMPONENTS:
                seed("component", bytes([COMPONENTS.index(kind)]) + der)


def json_bodies():
    for vector in lines("json_binding.jsonl"):
        function = bytes([FUNCTIONS.index(vector["path"].rsplit("/", 1)[1])])
        seed("json_request", function + json.dumps(vector["request"]).encode())
        if vector.get("response") is not None:
            seed("json_response", function + json.dumps(vector["response"]).encode())
    for index, _ in enumerate(FUNCTIONS):
        seed("json_response", bytes([index]) + b'{"header":{"functionExecutionStatus":{"status":"Failed","statusCodeData":{"subjectCode":"8.1.1","reasonCode":"3.9"}}}}')


def replies():
    executed = {"functionExecutionStatus": {"status": "Executed-Success"}}
    failed = {"functionExecutionStatus": {"status": "Failed", "statusCodeData": {
        "subjectCode": "8.2.6", "reasonCode": "3.8", "subjectIdentifier": "x", "message": "refused"}}}
    blob = base64.b64encode(bytes.fromhex("5f3740" + "11" * 64)).decode()
    der = {vector["id"]: base64.b64encode(bytes.fromhex(vector["der"])).decode() for vector in lines("sgp22.jsonl")}
    members = {"header": executed, "transactionId": "0102030405060708090A0B0C0D0E0F10", "serverSigned1": "", "serverSignature1": blob,
               "euiccCiPKIdToBeUsed": "BBREA", "serverCertificate": "", "smdpSigned2": "", "smdpSignature2": blob, "smdpCertificate": "",
               "profileMetadata": "", "boundProfilePackage": "", "eventEntries": [{"eventId": "1", "rspServerAddress": "smdp.example"}]}
    for function in range(5):
        for kind in (0, 0x80):
            for status in (0, 0x10, 0x20, 0x30):
                seed("rsp_reply", bytes([function | kind | status]) + json.dumps({"header": failed}).encode())
            seed("rsp_reply", bytes([function | kind]) + json.dumps({"header": executed}).encode())
            for octets in der.values():
                filled = {name: octets if value == "" else value for name, value in members.items()}
                if len(octets) < 2000:
                    seed("rsp_reply", bytes([function | kind]) + json.dumps(filled).encode())
    with open(os.path.join(VECTORS, "pki/nist/dp_auth.der"), "rb") as file:
        certificate = base64.b64encode(file.read()).decode()
    for signed in ("ES9", "S22"):
        for name, octets in der.items():
            if name.startswith(signed):
                seed("rsp_reply", b"\0" + json.dumps({**members, "serverSigned1": octets, "serverCertificate": certificate}).encode())


def certificates():
    for path in glob.glob(os.path.join(VECTORS, "pki", "*", "*")):
        with open(path, "rb") as file:
            octets = file.read()
        seed("key_file" if path.endswith(".pem") else "certificate", octets)
    for curve in ("nist", "brp"):
        pair = [open(os.path.join(VECTORS, "pki", curve, name), "rb").read() for name in ("eum.der", "euicc1.der")]
        seed("certificate", b"".join(pair))
    seed("key_file", "ab" * 32)
    seed("key_file", base64.b64encode(bytes(32)).decode())
    seed("key_file", bytes(64))


def identifiers():
    for name, members in {"activation_code.jsonl": ["ac"], "eid.jsonl": ["eid", "hex"], "iccid.jsonl": ["wire", "text"], "plmn.jsonl": ["plmn", "wire"]}.items():
        for vector in lines(name):
            for member in members:
                if isinstance(vector.get(member), str):
                    seed("identifier", vector[member])
                    if re.fullmatch(r"([0-9a-f]{2})+", vector[member]):
                        seed("identifier", bytes.fromhex(vector[member]))
    for text in ["smdp.example", "smdp.example:8443", "1.3.6.1.4.1.99999.1", "2.999.10", "0.0", "a1b2c3d4", "0" * 64, "12.34", "0",
                 "eim.operation*", "eim.webhookTest", "019a0000-0000-7000-8000-000000000000", "op_019a00000000700080000000000000", "xn--e1.example", "[::1]:443"]:
        seed("identifier", text)
    seed("identifier", bytes.fromhex("883703"))


def imports():
    csv = ["eid,label,tags,counterValue,associationToken,euiccCertificate,eumCertificate,resultPolicy,eimId,signingKey\r\n"
           "89049032000000000000000000000163,\"a, \"\"b\"\"\",x;y\\;z,5,7,MIIB,MIIB,strict,eim,ab\r\n\r\n89049032000000000000000000000163,'=1+1,,,,,,,,\n",
           "\ufeffeid\n89049032000000000000000000000163\n\"open\n", "eid,eid\n", "nothing\n", "",
           "eid,psmo,eco,euiccData,profileDownload,activationCode,confirmationCode,label,notBefore,validUntil,idempotencyKey\n"
           "89049032000000000000000000000163,\"[{\"\"listProfileInfo\"\":{}}]\",,,,1$smdp.example$M,1234,l,2026-01-01T00:00:00Z,,k\n"]
    ndjson = ['{"eid":"89049032000000000000000000000163","association":{"counterValue":1}}\n\n{"eid":1}\n[]\n{', '{"eid":"x","eid":"y"}\r\n', "\ufeff{}\n"]
    for of in range(3):
        for part in (1, 3, 64):
            for text in csv:
                seed("import", bytes([of << 1, part]) + text.encode())
            for text in ndjson:
                seed("import", bytes([of << 1 | 1, part]) + text.encode())


API = [
    {"eid": "89049032000000000000000000000163", "label": "l", "tags": ["a"], "association": {"counterValue": 1, "associationToken": 2, "eimId": "e", "signingKey": "k", "learnedBy": "handover", "toldBy": "e"}, "eumCertificate": "MIIB", "euiccCertificate": "MIIB", "resultPolicy": "strict"},
    {"psmo": [{"enable": {"iccid": "89999000000000000023", "rollback": True}}, {"disable": {"iccid": "89999000000000000023"}}, {"delete": {"rawIccid": "98444738290120000010"}}, {"listProfileInfo": {"tags": ["5A"]}}, {"getRAT": {}}, {"configureImmediateEnable": {"immediateEnable": True, "defaultSmdpOid": "2.999.10", "defaultSmdpAddress": "smdp.example"}}, {"setFallbackAttribute": {"iccid": "89999000000000000023"}}, {"unsetFallbackAttribute": {}}, {"setDefaultDpAddress": {"address": "smdp.example"}}]},
    {"eco": [{"listEim": {}}, {"addEim": {"eimId": "e", "eimFqdn": "e.example", "eimIdType": "fqdn", "counterValue": 0, "associationToken": -1, "eimPublicKey": "3059"}}, {"deleteEim": {"eimId": "e"}}, {"updateEim": {"eimId": "e", "eimFqdn": "x.example"}}]},
    {"euiccData": {"tags": ["BF20", "BF22"], "euiccCiPKId": "00", "searchCriteriaNotification": {"seqNumber": 1}}},
    {"profileDownload": {"activationCode": "1$smdp.example$M", "confirmationCode": "1", "indirect": "auto"}},
    {"profileDownload": {"defaultSmdp": True}}, {"profileDownload": {"smds": {"address": "smds.example"}, "indirect": False}},
    {"activationCode": "LPA:1$smdp.example$M", "indirect": True}, {"smds": {}},
    {"all": True}, {"eids": ["89049032000000000000000000000163"], "tags": ["a"], "anyTag": ["b"], "notTag": ["c"], "state": "active", "capabilities": ["directRspServerCommunication"], "plmns": ["26201"], "seenWithinSeconds": 1, "notSeenForSeconds": 2, "label": "l"},
    {"name": "c", "target": {"filter": {"tags": ["a"]}, "mode": "SNAPSHOT", "maxDevices": 5, "exclude": ["89049032000000000000000000000163"]}, "plan": {"switch": {"to": {"pool": "p"}, "rollback": True, "deleteOld": "afterProof", "proof": {"seenAgainWithin": 3, "expectedPlmns": ["26201"]}, "noShowAfter": 10, "waive": ["fallback"], "override": ["profileList"], "memoryBytes": 1}}, "waves": [{"name": "canary", "percent": 10, "soakSeconds": 60, "successThreshold": 95, "successAction": "PAUSE", "errorThreshold": {"percent": 5, "minExecuted": 3, "outcomes": ["rolledBack"]}, "errorAction": "PAUSE", "startAt": "2026-01-02T00:00:00Z"}, {"count": 5}, {"filter": {"all": True}}, {"rest": True}], "rate": {"maxPerMinute": 60}, "maintenanceWindows": [{"cron": "0 2 * * *", "durationMinutes": 60, "zone": "Europe/Berlin"}], "retry": [{"outcomes": ["noShow"], "maxRetries": 2, "backoffSeconds": 60, "factor": 2}], "approval": "none", "priority": 5, "perSmdpMaxConcurrent": 3, "startAt": "2026-01-01T00:00:00Z", "endAt": "2026-02-01T00:00:00Z", "endBehavior": "PAUSE"},
    {"name": "d", "target": {"filter": {"all": True}, "mode": "CONTINUOUS"}, "plan": {"switch": {"to": {"pool": "p"}}}, "maintenanceWindows": [{"cron": "*/15 1-3,5 1 2 0-4", "durationMinutes": 10080, "zone": "UTC"}]},
    {"name": "e", "target": {"filter": {"all": True}}, "plan": {"operations": [{"psmo": [{"listProfileInfo": {}}]}]}, "rate": {"exponential": {"basePerMinute": 1, "factor": 1.5, "everySucceeded": 10, "maxPerMinute": 100}}},
    {"name": "f", "target": {"filter": {"all": True}}, "plan": {"switch": {"to": {"pool": "p"}}}, "maintenanceWindows": [{"cron": "0 0 29 2 *", "durationMinutes": 1, "zone": "America/Sao_Paulo"}]},
    {"name": "back", "filter": {"tags": ["meter"]}, "when": {"stateChangeCause": ["fallback"]}, "then": [{"switch": {"to": {"profile": {"name": "Main"}}}}, {"tag": {"add": ["x"], "remove": ["y"]}}, {"webhook": {"id": "w"}}, {"operations": [{"eco": [{"listEim": {}}]}]}], "coolDown": {"seconds": 86400}, "maxFiringsPerHour": 50, "enabled": True},
    {"name": "p", "when": {"plmn": {"changed": True, "countries": ["262"], "in": ["26201"], "notIn": ["310410"]}}, "filter": {"all": True}, "then": [{"tag": {"add": ["x"]}}], "coolDown": {"intervals": 3}},
    {"name": "q", "when": {"noPollFor": {"intervals": 3}}, "filter": {"all": True}, "then": [{"tag": {"add": ["x"]}}]},
    {"name": "r", "when": {"outcome": {"of": "switch", "outcomes": ["proven"]}}, "filter": {"all": True}, "then": [{"tag": {"add": ["x"]}}]},
    {"name": "s", "when": {"memoryLow": {"belowBytes": 1}}, "filter": {"all": True}, "then": [{"tag": {"add": ["x"]}}]},
    {"name": "t", "when": {"foreignEim": {}}, "filter": {"all": True}, "then": [{"tag": {"add": ["x"]}}]},
    {"name": "meters", "filter": {"tags": ["meters"]}, "priority": 50, "enforce": True, "state": {"enabled": {"profile": {"serviceProvider": "Acme"}}, "fallback": {"profile": {"name": "B"}}, "installed": {"excludes": [{"profile": {"serviceProvider": "F"}}], "includes": [{"iccid": "89999000000000000023"}]}}, "obtain": {"pool": "acme"}, "retry": {"attempts": 3, "backOffSeconds": 3600}, "maxInFlight": 100, "stopAfter": 20, "waive": ["memory"]},
    {"name": "n", "filter": {"all": True}, "state": {"fallback": {"none": True}, "installed": {"exactly": [{"iccid": "89999000000000000023"}]}}},
    {"serviceProvider": "Acme", "profileClass": "operational", "disableAllowed": False, "deleteAllowed": True, "deleteWhenDisabled": True},
]


def files():
    for body in API:
        seed("api_body", json.dumps(body))
    eid = {"eid": "89049032000000000000000000000163"}
    heading = '{"eimExport":2,"eimId":"2.25.1","tenant":"default"}'
    said = [
        {"device": {**eid, "tags": ["a"], "label": "l", "association": {"counterValue": 1, "associationToken": 7}}},
        {"association": {**eid, "eimId": "2.25.1", "state": "active", "counterValue": 1, "associationToken": None, "key": "ab", "keyFacts": {},
                         "highestToken": 0, "highestCounter": 1}},
        {"profile": {**eid, "rawIccid": "98444738290120000010", "enabled": True, "class": 2, "name": "n", "serviceProvider": "s", "fallback": False,
                     "aid": None, "ppr1": None, "ppr2": None, "ownerMccMnc": "26201"}},
        {"history": {**eid, "at": "2026-01-01T00:00:00Z", "type": "registered", "details": {}}},
    ]
    numbered = [(number, json.dumps(line, separators=(",", ":"))) for number, line in enumerate(said, 2)]
    lines_said = [(hashlib.sha256(("%d %s" % line).encode()).hexdigest(), *line) for line in numbered]
    body = "".join('{"digest":"%s","line":%d,"says":%s}\n' % line for line in lines_said)
    digest = hashlib.sha256((heading + "".join(line[0] for line in lines_said)).encode()).hexdigest()
    statement = 'eim-export/1\n{"eimId":"2.25.1","tenant":"default","at":"2026-01-01T00:00:00Z","lines":4,"devices":1,"digest":"%s"}' % digest
    end = json.dumps({"signed": {"statement": statement, "publicKey": "3059", "signature": "00" * 64}}) + "\n"
    heading += "\n"
    for text in [heading, heading + body, heading + body + end, heading + end + body, heading + body[:-40] + end, heading + body[body.index("\n") + 1 :] + end, body, "{}\n"]:
        seed("portable", text)
    log = '{"eimAuditLog":1,"eimId":"2.25.1","tenant":"default"}\n'
    record = '{"position":1,"link":"%s","record":{"at":"2026-01-01T00:00:00Z","type":"serverStarted","eid":"","subject":"","details":{}}}\n' % ("00" * 32)
    checkpoint = {"statement": 'eim-audit-checkpoint/1\n{"position":1}', "publicKey": "3059", "signature": "00"}
    for text in [log, log + record, log + record + record + '{"end":{"records":2,"checkpoints":0}}\n',
                 log + record + json.dumps({"checkpoint": checkpoint}) + '\n{"end":{"records":1,"checkpoints":1}}\n',
                 json.dumps(checkpoint), checkpoint["statement"]]:
        seed("portable", text)


def kept():
    for path in glob.glob(os.path.join(HERE, "corpus", "*.b64")):
        with open(path, encoding="ascii") as file:
            for line in file:
                seed(os.path.basename(path)[:-4], base64.b64decode(line))


def keep(target, folder):
    inputs = set()
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            inputs.add(file.read())
    with open(os.path.join(HERE, "corpus", target + ".b64"), "w", encoding="ascii") as file:
        # In an order that changes little when inputs come and go.
        for octets in sorted(inputs - {b""}):
            file.write(base64.b64encode(octets).decode() + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["keep"]:
        keep(*sys.argv[2:])
        sys.exit()
    kept()
    wire()
    json_bodies()
    replies()
    certificates()
    identifiers()
    imports()
    files()
    for folder in sorted(glob.glob(os.path.join(HERE, "seeds", "*"))):
        names = os.listdir(folder)
        print(os.path.basename(folder), len(names), sum(os.path.getsize(os.path.join(folder, name)) for name in names))
