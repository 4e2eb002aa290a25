"""XMPP clients, and a component that is a service for push notifications."""

import asyncio

import slixmpp
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

PUSH = "urn:xmpp:push:0"
PATIENCE_SECONDS = 20


async def _started(stream):
    started = asyncio.get_running_loop().create_future()
    refused = PermissionError("login")
    stream.add_event_handler("session_start", lambda _: started.done() or started.set_result(None))
    stream.add_event_handler("failed_all_auth", lambda _: started.done() or started.set_exception(refused))
    return started


async def login(user, resource, password, port):
    """A client that is online and has sent its presence."""
    client = slixmpp.ClientXMPP(f"{user}@localhost/{resource}", password)
    client.register_plugin("xep_0045")
    client.enable_direct_tls, client.enable_starttls, client.enable_plaintext = False, False, True
    # MongooseIM 6.5 and 6.6 refuse SCRAM as slixmpp speaks it: without TLS, its first message has the flag "y" for
    # channel binding, which these versions do not take. How a user proves who he is does not matter here.
    mechanisms = client.plugin["feature_mechanisms"]
    mechanisms.use_mech, mechanisms.unencrypted_plain = "PLAIN", True
    started = await _started(client)
    client.connect("127.0.0.1", port)
    await asyncio.wait_for(started, PATIENCE_SECONDS)
    client.send_presence()
    return client


def send_discreetly(client, to, text):
    """A message that is not to be stored: https://xmpp.org/extensions/xep-0334.html"""
    message = client.make_message(mto=to, mbody=text, mtype="chat")
    message.xml.append(ET.Element("{urn:xmpp:hints}no-store"))
    message.send()


async def push_service(domain, password, port, arrived):
    """A component that confirms each notification; `arrived` gets its element."""
    component = slixmpp.ComponentXMPP(domain, password, "127.0.0.1", port)

    def publication(iq):
        answer = component.make_iq_result(iq["id"], ito=iq["from"], ifrom=iq["to"])
        answer.send()
        arrived(iq.xml)

    path = "{jabber:component:accept}iq/{http://jabber.org/protocol/pubsub}pubsub"
    component.register_handler(Callback("publication", MatchXPath(path), publication))
    started = await _started(component)
    component.connect()
    await asyncio.wait_for(started, PATIENCE_SECONDS)
    return component


async def request(client, kind, xml, to=None):
    """Sends an IQ, by default to the user's account; gives the answer's type and the condition of an error."""
    iq = client.Iq()
    iq["type"] = kind
    if to:
        iq["to"] = to
    iq.append(ET.fromstring(xml))
    try:
        answer = await iq.send(timeout=PATIENCE_SECONDS)
        return answer["type"], None
    except IqError as error:
        return "error", error.iq["error"]["condition"]


async def open_room(client, room, nickname):
    """Makes a room and unlocks it with the server's defaults."""
    await client.plugin["xep_0045"].join_muc_wait(room, nickname, timeout=PATIENCE_SECONDS)
    form = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"
    return await request(client, "set", form, room)


def enable(service, node):
    return f"<enable xmlns='{PUSH}' jid='{service}' node='{node}'/>"


async def leave(*streams):
    for stream in streams:
        await stream.disconnect()
