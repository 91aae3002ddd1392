"""Common English words: most tokenizers have a token for each of them."""

from __future__ import annotations

_TEXT = """
model spot hard carry where open claim strong first field return heart silver rose on by snow
small none chief region sail repeat sign hat what mother goal church one clock judge same once
jump sugar space do image engine went next much shoe when least gentle poor final east office
able term object simple rate rule and role dance buy voice hill offer above class radio us
answer fund paint own five energy warm give tell usual tool wash light safe fill my moon flower
chair high power park will mile plane sit key bank back spring yes both column laugh be our
ground day rise form window speed heat we cell too wish break since cut issue learn fast ago
remain behind ten guide doctor copy add build clean job with gave need hair climb work visit has
tall most door held have firm number detail book valley thin floor that began foot divide fruit
cool count matter sea fine teach while toward got create sky parent paper song almost please
mine stop become but degree circle court fish sense inch main food wheel send fresh well hold
baby burn love care sister phone might supply gone pretty page more public share little gas
group loud enter money home row hear cold flow mean if three past west enjoy come bed was plant
third known down told lot before bit ease whole set sleep ride clear lost system ocean garden
wear cook help base hand figure apple shop print table among mouth lie drop note ship due look
may round pick left dream child neck year last school future dry effect show spread sudden room
single length he car never blue very road slow cost hole yet grass long wood cross every only
phrase ask wall she report value than event throw doubt price early film sing boat coast chart
method let part here four weight direct bridge else rock spoke news thing expect common double
rain place each speak upon human for heard prove real staff into hope hall bill along study act
town bear feet better stage shall easy born bad enough notice famous the felt rich major large
end sand you air date old alone should favor exact ice them fly read idea free total eye smile
iron skin gold push those check stone your know other view pay would green nature people catch
center differ month sold call second unit stood animal pass social allow world city summer bread
shape does wide right less live is size tree crowd big could short week walk can way minute
moment site within from even two proper ear six wild horse saw father season me middle his so
nation also in course bone broad turn him meet nose salt except deal her how trip wrong street
mind until any star corner bottom great use watch result box cap dog hunt save often south mark
seven stay roll time eat serve king happy test best up join tone keep glad face member made law
young far touch map side begin
"""

WORDS = tuple(_TEXT.split())
